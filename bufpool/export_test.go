package bufpool

// FlushQuarantine makes a checked pool keep at once what was released, as an unchecked one does.
func (p *Pool) FlushQuarantine() { p.checkFlush() }
