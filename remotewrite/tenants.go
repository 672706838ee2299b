package remotewrite

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// tenantFile, in a queue's directory, says whose backlog it is where destinations without a name have one host and path.
const tenantFile = "tenant"

// identify returns the identity of a destination, among those which live: as a rule that of its name or host and path.
// Where several have the same, each but the one which had it before has its tenant in it. What lies on the disk decides,
// so that a second tenant, or the loss of one, does not give a backlog to another.
func (o Options) identify(d Destination, u *url.URL, alone bool, live map[string]*destination) string {
	plain, tenant := d.identity(u), d.tenant(u)
	own := plain + " " + tenant
	disk := o.QueueDir != "" && !d.DisableDiskQueue
	if live[own] != nil || disk && isDir(filepath.Join(o.QueueDir, dirName(own))) {
		return own
	}
	if alone {
		return plain
	}
	if l := live[plain]; l != nil {
		if c := l.client.Load(); c.dest.tenant(c.url) == tenant {
			return plain
		}
		return own
	}
	if disk && tenantOf(filepath.Join(o.QueueDir, dirName(plain))) == tenant {
		return plain
	}
	return own
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// tenantOf is the tenant whose queue a directory is; empty if it does not say.
func tenantOf(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, tenantFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// noteTenant says in the queue's directory whose it is. An error costs no more than another name after the next change.
func (s *spool) noteTenant() {
	c := s.d.client.Load()
	if s.q == nil {
		return
	}
	if _, err := os.Stat(filepath.Join(s.dir, tenantFile)); s.notedFor == c && !os.IsNotExist(err) { // somebody may have removed the directory
		return
	}
	s.notedFor = c
	if t := c.dest.tenant(c.url); t != tenantOf(s.dir) {
		_ = os.WriteFile(filepath.Join(s.dir, tenantFile), []byte(t+"\n"), 0o600)
	}
}
