package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"scraper/diskqueue"
)

// queueName is the directory of queues in the data path.
const queueName = "scraper-queue"

// queueDir is where queues lie: nowhere in the demo, which leaves nothing behind.
func queueDir(s *Settings) string {
	if s.Command == "demo" || s.DataPath == "" {
		return ""
	}
	return filepath.Join(s.DataPath, queueName)
}

// tellOfPeers names what other agents have left in the data path: it is not touched, and not sent.
func tellOfPeers(s *Settings, log *slog.Logger) {
	for _, peer := range []struct{ whose, dir string }{{"vmagent", "persistent-queue"}, {"prometheus", "wal"}} {
		dir := filepath.Join(s.DataPath, peer.dir)
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			log.Warn("another agent's backlog is left as it is, and not sent", "agent", peer.whose, "dir", dir)
		}
	}
}

const queueUsage = "scraper queue inspect DIR (what waits to be sent) or scraper queue verify DIR (and whether all of it can be read)"

// parseQueueCommand reads the command line of scraper queue.
func parseQueueCommand(args []string) (*Settings, []string, error) {
	if len(args) != 2 || !slices.Contains([]string{"inspect", "verify"}, args[0]) {
		return nil, nil, usagef("want %s", queueUsage)
	}
	return &Settings{Command: "queue", QueueVerb: args[0], QueueDir: args[1]}, nil, nil
}

// runQueueCommand shows the queues in a directory: a queue, a directory of queues, or a data path. It exits with 1 if there
// are none, or something is damaged.
func runQueueCommand(s *Settings, stdout, stderr io.Writer) int {
	dirs := findQueues(s.QueueDir)
	if len(dirs) == 0 {
		fmt.Fprintf(stderr, "scraper: there is no queue in %s\n", s.QueueDir)
		return exitFailure
	}
	code := exitOK
	for i, dir := range dirs {
		r, err := diskqueue.Inspect(dir, s.QueueVerb == "verify")
		if err != nil {
			fmt.Fprintln(stderr, "scraper:", err)
			code = exitFailure
			continue
		}
		if i > 0 {
			fmt.Fprintln(stdout)
		}
		writeQueue(stdout, &r)
		if r.Damaged > 0 || len(r.Unreadable) > 0 || slices.ContainsFunc(r.Segments, func(s diskqueue.SegmentReport) bool { return s.Err != nil }) {
			code = exitFailure
		}
	}
	return code
}

// findQueues returns the queues in a directory.
func findQueues(dir string) (dirs []string) {
	if diskqueue.IsQueue(dir) {
		return []string{dir}
	}
	for _, parent := range []string{dir, filepath.Join(dir, queueName)} {
		entries, _ := os.ReadDir(parent)
		for _, e := range entries {
			if d := filepath.Join(parent, e.Name()); e.IsDir() && diskqueue.IsQueue(d) {
				dirs = append(dirs, d)
			}
		}
	}
	return dirs
}

func writeQueue(w io.Writer, r *diskqueue.Report) {
	fmt.Fprintf(w, "%s\n", r.Dir)
	fmt.Fprintf(w, "pending: %d samples in %d blocks of %s", r.Pending.Samples, r.Pending.Blocks, formatSize(r.Pending.Bytes))
	if !r.Oldest.IsZero() {
		fmt.Fprintf(w, ", the oldest of %s", r.Oldest.UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(w, "\nfiles: %s, %d segments, %d spare; slots: %d; failed starts: %d\n", formatSize(r.DiskBytes), len(r.Segments), r.Spares, r.Slots, r.Starts)
	for _, f := range r.Unreadable {
		fmt.Fprintf(w, "unreadable: %s\n", f)
	}
	if r.Damaged > 0 {
		fmt.Fprintf(w, "damaged: %d blocks\n", r.Damaged)
	}
	if len(r.Segments) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "segment\tsealed\tbytes\tblocks\tsamples\tpending\tfrom\tto\tdamaged\t")
	at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05Z") }
	for _, s := range r.Segments {
		from, to := "-", "-"
		if s.Blocks > 0 {
			from, to = at(s.MinTime), at(s.MaxTime)
		}
		fmt.Fprintf(t, "%s\t%t\t%d\t%d\t%d\t%d\t%s\t%s\t%d\t\n", s.File, s.Sealed, s.Bytes, s.Blocks, s.Samples, s.Pending.Samples, from, to, s.Damaged)
	}
	_ = t.Flush()
	for _, s := range r.Segments {
		if s.Err != nil {
			fmt.Fprintf(w, "%s: %v\n", s.File, s.Err)
		}
	}
}
