package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDemo starts the demo as a newcomer would, with nothing, and looks where it says.
func TestDemo(t *testing.T) {
	t.Parallel()
	p, address := startServer(t, scraperPath(), "/-/healthy", func(address string) []string {
		return []string{"demo", "-httpListenAddr=" + address}
	})
	port := address[strings.LastIndexByte(address, ':'):]
	url := regexp.MustCompile(`http://localhost` + port + `/\S*`)
	waitFor(t, "the demo to say where to look", func() bool { return url.MatchString(p.stdout.String()) })
	for _, page := range regexp.MustCompile(`http://\S+`).FindAllString(p.stdout.String(), -1) {
		waitFor(t, page+" to answer", func() bool {
			status, text, err := try(http.MethodGet, page)
			return err == nil && status == http.StatusOK && len(text) > 100
		})
	}
	get := func(path string, v any) string {
		t.Helper()
		status, text := fetch(t, http.MethodGet, "http://"+address+path)
		if status != http.StatusOK {
			t.Fatalf("GET %s = %d %.200s, want 200", path, status, text)
		}
		if v != nil {
			if err := json.Unmarshal([]byte(text), v); err != nil {
				t.Fatalf("GET %s: %v", path, err)
			}
		}
		return text
	}
	waitFor(t, "both targets to be up", func() bool {
		var targets struct {
			Data struct{ ActiveTargets []struct{ Health string } }
		}
		get("/api/v1/targets", &targets)
		up := 0
		for _, x := range targets.Data.ActiveTargets {
			if x.Health == "up" {
				up++
			}
		}
		return up == 2 && up == len(targets.Data.ActiveTargets)
	})
	waitFor(t, "values to arrive at the receiver", func() bool {
		var latest struct {
			Data []struct{ Metric map[string]string }
		}
		get("/api/v1/latest?limit=500", &latest)
		return len(latest.Data) > 200
	})
	if text := get("/", nil); !strings.Contains(text, "demo-receiver") || !strings.Contains(text, "job=") {
		t.Errorf("the front page shows no receiver, or no values: %.500s", text)
	}
	p.signal(t, os.Interrupt)
	if code := p.wait(t, patience); code != 0 {
		t.Errorf("exit code after an interrupt = %d, want 0", code)
	}
}
