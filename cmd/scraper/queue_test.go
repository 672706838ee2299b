package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scraper/diskqueue"
)

func TestQueueCommand(t *testing.T) {
	data := t.TempDir()
	dir := filepath.Join(data, queueName, "name_main")
	q, err := diskqueue.Open(diskqueue.Options{Dir: dir, Slots: 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Append(diskqueue.Block{Samples: 321, Created: time.Now()}, bytes.Repeat([]byte("x"), 5000)); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	f := func(line string, wantCode int, want string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(line), &stdout, &stderr)
		if out := stdout.String() + stderr.String(); code != wantCode || !strings.Contains(out, want) {
			t.Errorf("scraper %s exits with %d, want %d, and says %q, want %q", line, code, wantCode, out, want)
		}
	}
	for _, d := range []string{data, filepath.Join(data, queueName), dir} {
		f("queue inspect "+d, exitOK, "pending: 321 samples in 1 blocks")
		f("queue verify "+d, exitOK, "pending: 321 samples in 1 blocks")
	}
	f("queue inspect "+t.TempDir(), exitFailure, "there is no queue in")
	f("queue", exitUsage, "scraper queue inspect DIR")

	files, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-100] ^= 1
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	f("queue verify "+data, exitFailure, "damaged: 1 blocks")
}

func TestTellOfPeers(t *testing.T) {
	data := t.TempDir()
	for _, d := range []string{"persistent-queue/1_ABC", "wal", queueName} {
		if err := os.MkdirAll(filepath.Join(data, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	tellOfPeers(&Settings{DataPath: data}, slog.New(slog.NewTextHandler(&log, nil)))
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "agent=vmagent") {
		t.Errorf("the log says %q, want one line about vmagent's backlog: Prometheus' is empty", log.String())
	}
}
