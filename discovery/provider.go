package discovery

import (
	"context"
	"sync"
)

// provider is one source of groups: what one section of a configuration stands for. Its groups carry a Source which is
// unique within the provider.
type provider interface {
	// read reads the source for the first time. It is called once, before the provider is shared.
	read()
	// groups returns the groups which were last read; immutable. Safe at any time after read.
	groups() []*Group
	// run keeps the groups up to date until ctx is done, and calls changed after groups returns something new. What it
	// started has ended when it returns. Called at most once.
	run(ctx context.Context, changed func())
	// close withdraws the provider from the metrics. Its groups stay as they are. Idempotent, concurrent with run.
	close()
}

// entry is a provider with the jobs that have it.
type entry struct {
	key  string
	p    provider
	jobs []*job // guarded by Discovery.mu
}

// Run watches the sources of all jobs, those of later Apply calls too, until ctx is done. When it returns nothing that it
// started lives. It may be called once. Without it, only Apply reads.
func (d *Discovery) Run(ctx context.Context) error {
	d.mu.Lock()
	ran := d.ran
	d.ran = true
	d.mu.Unlock()
	if ran {
		return errRanTwice
	}

	var wg sync.WaitGroup
	running := make(map[*entry]context.CancelFunc)
	defer func() {
		for _, cancel := range running {
			cancel()
		}
		wg.Wait()
		d.watch.wait()
	}()
	for {
		wanted := d.entries()
		for e, cancel := range running {
			if !wanted[e] {
				cancel()
				delete(running, e)
			}
		}
		for e := range wanted {
			if running[e] != nil {
				continue
			}
			ectx, cancel := context.WithCancel(ctx)
			running[e] = cancel
			wg.Go(func() { e.p.run(ectx, func() { d.changed(e) }) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
		}
	}
}

func (d *Discovery) entries() map[*entry]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[*entry]bool, len(d.providers))
	for _, e := range d.providers {
		all[e] = true
	}
	return all
}

// changed publishes a provider's new groups to the jobs that have it.
func (d *Discovery) changed(e *entry) {
	d.mu.Lock()
	jobs := e.jobs // replaced as a whole, never changed in place
	d.mu.Unlock()
	for _, j := range jobs {
		j.publish()
	}
}
