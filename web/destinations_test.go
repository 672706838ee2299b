package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"scraper/remotewrite"
)

// refusing is options with a destination which has refused a series, and one which has not.
func refusing(evil string) Options {
	o := options()
	o.Destinations = func() []remotewrite.DestinationStatus {
		return []remotewrite.DestinationStatus{
			{
				Name: "1:main", Healthy: false, LastError: "send: answer 400" + evil, QueueState: "on disk", DiskBytes: 4 << 20, PendingBlocks: 3, PendingSamples: 70,
				OldestPending: time.Now().Add(-time.Minute), Senders: 2, SentSamples: 900, RefusedSamples: 5, DroppedSamples: 7,
				Books: remotewrite.Books{
					Committed: 1000, Recovered: 30, Acknowledged: 900, Refused: 5, Expired: 48, Pending: 70,
					Dropped: remotewrite.DroppedBooks{QueueFull: 7},
				},
				Refusals: []remotewrite.Refusal{{At: time.Now(), Status: 400, Answer: "label too long" + evil, Series: `m{a="x"}` + evil, SeriesCount: 3, Samples: 5}},
			},
			{Name: "2:other", Healthy: true, QueueState: "in memory"},
		}
	}
	return o
}

func TestDestinationsPage(t *testing.T) {
	const evil = `"><script>alert(1)</script>`
	s := newServer(t, refusing(evil))
	body := text(t, ask(t, s, local, "GET", "/destinations", ""))
	for _, want := range []string{"1:main", "2:other", "on disk", "label too long", "3 series", "7 queue_full", ">48<", ">30<", "4 MiB", "2 requests at a time", "</html>"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q:\n%s", want, body)
		}
	}
	if strings.Contains(body, "<script>") {
		t.Error("the page obeys what a receiver said")
	}
	// A series is part of what a target said.
	body = text(t, ask(t, s, remote, "GET", "/destinations", ""))
	if strings.Contains(body, "label too long") || strings.Contains(body, `m{a=`) || !strings.Contains(body, "local peers only") {
		t.Errorf("the page for others shows refused series, or does not say that it hides them:\n%s", body)
	}
	o := options()
	o.Destinations = func() []remotewrite.DestinationStatus { return nil }
	if body := text(t, ask(t, newServer(t, o), local, "GET", "/destinations", "")); !strings.Contains(body, "No destination is configured") {
		t.Errorf("the page without destinations:\n%s", body)
	}
}

func TestAPIDestinations(t *testing.T) {
	s := newServer(t, refusing(""))
	get := func(from string) (all []destination) {
		t.Helper()
		var answer struct {
			Status string
			Data   struct{ Destinations []destination }
		}
		body := text(t, ask(t, s, from, "GET", "/api/v1/destinations", ""))
		if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Status != "success" || len(answer.Data.Destinations) != 2 {
			t.Fatalf("GET /api/v1/destinations = %s, %v", body, err)
		}
		return answer.Data.Destinations
	}
	d := get(local)[0]
	if d.Health != "down" || d.Queue.State != "on disk" || d.Queue.DiskBytes != 4<<20 || d.Samples.Recovered != 30 || d.Samples.Dropped["queue_full"] != 7 ||
		d.Samples.Unbalanced != 0 || d.Queue.Oldest == nil || d.LastSent != nil {
		t.Errorf("destination %+v", d)
	}
	if len(d.Refusals) != 1 || d.Refusals[0].Answer != "label too long" || d.Refusals[0].Series != `m{a="x"}` || d.Refusals[0].Samples != 5 || d.RefusalsHidden {
		t.Errorf("refusals %+v", d.Refusals)
	}
	if d := get(remote)[0]; len(d.Refusals) != 0 || !d.RefusalsHidden || d.Samples.Refused != 5 {
		t.Errorf("destination for others %+v", d)
	}
	if d := get(local)[1]; d.Health != "up" || d.Refusals == nil {
		t.Errorf("destination %+v", d)
	}
}
