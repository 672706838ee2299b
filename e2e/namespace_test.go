package e2e

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// namespaceVariable tells a child of this test where the program is. Its presence tells it that it is the child.
const namespaceVariable = "SCRAPER_E2E_NAMESPACE"

// inNamespace says whether this process is the child of TestForeignPeers.
func inNamespace() bool { return os.Getenv(namespaceVariable) != "" }

// TestForeignPeers asks for pages from an address which is not loopback. It does so in a network namespace of its own,
// which nobody else can reach.
func TestForeignPeers(t *testing.T) {
	if inNamespace() {
		programs = os.Getenv(namespaceVariable)
		testForeignPeers(t)
		return
	}
	t.Parallel()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("there is no program ip here (package iproute2)")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self, "-test.run=^TestForeignPeers$", "-test.v", "-test.timeout=1m")
	child.Env = append(os.Environ(), namespaceVariable+"="+programs)
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := child.CombinedOutput()
	if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran {
		t.Skipf("there are no network namespaces for us here: %v", err)
	}
	switch {
	case err != nil:
		t.Errorf("in a network namespace: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("in a network namespace: %s", out)
	}
}

func testForeignPeers(t *testing.T) {
	const foreign = "192.0.2.1" // an address for documentation
	for _, args := range []string{"link set lo up", "addr add " + foreign + "/32 dev lo"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", args, err, out)
		}
	}
	conf := configFile(t, goodConfig)
	base := []string{"-promscrape.config=" + conf, "-remoteWrite.url=http://127.0.0.1:1/", "-httpListenAddr=:0"}
	// both returns the statuses which a foreign and a local peer get. Asking a foreign address, one comes from it.
	both := func(a *agent, method, path string) [2]int {
		t.Helper()
		_, port, _ := strings.Cut(strings.TrimPrefix(a.url, "http://[::]"), ":")
		var got [2]int
		for i, host := range []string{foreign, "127.0.0.1"} {
			got[i], _ = fetch(t, method, "http://"+host+":"+port+path)
		}
		return got
	}
	for _, tt := range []struct {
		name, method, path string
		args               []string
		want               [2]int // foreign, local
	}{
		{"profiles", http.MethodGet, "/debug/pprof/", nil, [2]int{403, 200}},
		{"a profile", http.MethodGet, "/debug/pprof/heap", nil, [2]int{403, 200}},
		{"reload", http.MethodPost, "/-/reload", nil, [2]int{403, 200}},
		{"a key opens", http.MethodGet, "/debug/pprof/?authKey=secret-key", []string{"-pprofAuthKey=secret-key"}, [2]int{200, 200}},
		{"a wrong key does not", http.MethodGet, "/debug/pprof/?authKey=other", []string{"-pprofAuthKey=secret-key"}, [2]int{401, 401}},
		{"a key for reload", http.MethodPost, "/-/reload?authKey=secret-key", []string{"-reloadAuthKey=secret-key"}, [2]int{200, 200}},
		{"authentication", http.MethodGet, "/targets", []string{"-httpAuth.username=user", "-httpAuth.password=password"}, [2]int{401, 401}},
		{"probes are open", http.MethodGet, "/-/healthy", []string{"-httpAuth.username=user", "-httpAuth.password=password"}, [2]int{200, 200}},
		{"targets", http.MethodGet, "/targets", nil, [2]int{200, 200}},
		{"metrics", http.MethodGet, "/metrics", nil, [2]int{200, 200}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := startAgent(t, append(tt.args, base...)...)
			if got := both(a, tt.method, tt.path); got != tt.want {
				t.Errorf("%s %s with %q = %v from a foreign and a local peer, want %v", tt.method, tt.path, tt.args, got, tt.want)
			}
			a.terminate(t)
		})
	}
}
