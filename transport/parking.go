package transport

import (
	"sync"
	"syscall"
	"time"

	"scraper/internal/slack"
)

// Parking is where requests wait which have no goroutine: see Pending. Transports may share it. It has a goroutine while
// any of them waits for an answer. The zero value is ready for use; it must not be copied.
type Parking struct {
	// After is how long a request waits for its answer with its goroutine, before it is parked. Default: 200 ms.
	After time.Duration

	mu      sync.Mutex
	last    ticket
	parked  map[ticket]parkedConn
	most    int   // of them that there once were
	poll    *poll // nil while nothing is parked
	running sync.WaitGroup
}

type ticket uint32

type parkedConn struct {
	raw   syscall.RawConn
	ready func()
}

// defaultParkAfter: most targets answer sooner, and are spared the detour. Of a thousand which do not, scraped every ten
// seconds, twenty have a goroutine then.
const defaultParkAfter = 200 * time.Millisecond

func (p *Parking) after() time.Duration {
	if p.After > 0 {
		return p.After
	}
	return defaultParkAfter
}

// Wait returns when the goroutine has ended, which it does when nothing is parked any more.
func (p *Parking) Wait() { p.running.Wait() }

// Parked is how many requests wait for their answers here.
func (p *Parking) Parked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.parked)
}

// add has ready called once there is something to read on the socket, or its end, or when that cannot be told.
func (p *Parking) add(raw syscall.RawConn, ready func()) ticket {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	id := p.last
	if p.poll == nil {
		poll, err := newPoll()
		if err != nil {
			go ready()
			return id
		}
		p.poll = poll
		p.parked = make(map[ticket]parkedConn)
		p.running.Go(func() { p.run(poll) })
	}
	if err := p.poll.add(raw, id); err != nil {
		go ready()
		if len(p.parked) == 0 {
			p.poll.wake() // its goroutine would wait for ever
		}
		return id
	}
	p.parked[id] = parkedConn{raw, ready}
	p.most = max(p.most, len(p.parked))
	return id
}

// remove takes back what add was told. The function may have been called, or be about to be.
func (p *Parking) remove(id ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.parked[id]
	if !ok {
		return
	}
	delete(p.parked, id)
	p.parked = slack.Map(p.parked, &p.most)
	p.poll.remove(c.raw)
	if len(p.parked) == 0 {
		p.poll.wake()
	}
}

// run calls those who are ready until nothing is parked.
func (p *Parking) run(poll *poll) {
	for {
		ids := poll.wait()
		p.mu.Lock()
		var ready []func()
		for _, id := range ids {
			if c, ok := p.parked[id]; ok {
				poll.remove(c.raw)
				delete(p.parked, id)
				ready = append(ready, c.ready)
			}
		}
		p.parked = slack.Map(p.parked, &p.most)
		done := len(p.parked) == 0
		if done {
			p.poll, p.parked, p.most = nil, nil, 0
		}
		p.mu.Unlock()
		for _, f := range ready {
			f()
		}
		if done {
			poll.close()
			return
		}
	}
}
