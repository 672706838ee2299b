package remotewrite

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTenantsKeepTheirQueues adds and takes away destinations of one host and path, by restarts and by reloads, while
// nobody answers: no tenant gets another one's backlog.
func TestTenantsKeepTheirQueues(t *testing.T) {
	tenant := func(id string) Destination {
		return Destination{URL: destA, Headers: map[string]string{"X-Scope-OrgID": id}}
	}
	a, b, c := tenant("a"), tenant("b"), tenant("c")
	for _, reload := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			var r *rig
			var now int64
			pending := make(map[string]uint64) // by tenant
			step := func(dests ...Destination) {
				t.Helper()
				switch {
				case r == nil || !reload:
					if r != nil {
						r.stop()
					}
					r = newRig(t, func(o *Options) { o.QueueDir, o.KeepDanglingQueues = dir, true }, dests...)
					r.run()
				default:
					if err := r.Apply(dests); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(10 * time.Second) // those which were removed are gone
				r.commitFor(1, &now)
				time.Sleep(2 * time.Second)
				r.balanced()
				books := r.Books()
				for i, d := range dests {
					id := d.Headers["X-Scope-OrgID"]
					pending[id] += 40
					if got := books[i].Pending; got != pending[id] {
						t.Errorf("reload %t, with %d destinations: tenant %s has %d samples pending, want %d", reload, len(dests), id, got, pending[id])
					}
				}
			}
			step(a)
			step(a, b)
			step(b, a)
			step(c, b, a)
			step(b)
			step(b, c)
			step(a, b)
			r.stop()
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			plain := "url_a.example%3A80" // see TestDirName
			if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, plain[:8]) }) || len(names) != 3 {
				t.Errorf("directories %q, want one for each tenant", names)
			}
			for _, n := range names {
				if _, err := os.Stat(filepath.Join(dir, n, tenantFile)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestTenantMayChange changes the query and the headers of a destination which is alone: it keeps its queue.
func TestTenantMayChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var now int64
		for i, d := range []Destination{{URL: destA}, {URL: destA + "?x=1"}, {URL: destA, Headers: map[string]string{"A": "b"}}} {
			r := newRig(t, onDisk(dir), d)
			r.run()
			time.Sleep(time.Second)
			if got := r.balanced().Recovered; got != uint64(40*i) {
				t.Errorf("start %d: %d samples recovered, want %d", i, got, 40*i)
			}
			r.commitFor(1, &now)
			r.stop()
		}
	})
}
