package remotewrite

// talk is what a destination knows of the protocols which its receiver speaks.
type talk struct{}

// protocol is what new blocks are to be encoded in.
func (t *talk) protocol() Protocol { return Protocol1 }
