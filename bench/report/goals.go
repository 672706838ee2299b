package report

import (
	"fmt"
	"strings"
)

// The names of the project's agent, as it runs by default, with snappy, and with remote write 2.0.
const (
	ours       = "ours"
	oursSnappy = "ours-snappy"
	ours2      = "ours-2.0"
)

// A goal is a promise of the project about one scenario.
type goal struct {
	scenario, text string
	agent          string // whose it is
	// judge returns what was measured, and whether that keeps the goal. ok is false if there are not the results for it.
	judge func(set Set, agent string) (measured string, kept, ok bool)
}

// with makes it the goal of another agent.
func (g goal) with(agent string) goal {
	g.agent = agent
	return g
}

// goals are what is promised, on a machine with nothing else to do.
func goals() []goal {
	return []goal{
		atMost("steady", "CPU-seconds per million samples with snappy", 1.5, 2, cpuPerMillion).with(oursSnappy),
		ofPeer("steady", "of Prometheus' CPU per sample with snappy", 0.25, "prometheus", cpuPerMillion).with(oursSnappy),
		atMost("steady", "CPU-seconds per million samples with zstd", 2.1, 2, cpuPerMillion),
		ofPeer("steady", "of a current vmagent's CPU per sample with zstd", 0.33, "vmagent-latest", cpuPerMillion),
		atMost("steady", "CPU-seconds per million samples with remote write 2.0", 1.2, 2, cpuPerMillion).with(ours2),
		ofPeer("steady", "of vmagent's bytes on the wire, with zstd", 1, "vmagent", wire),
		ofPeer("steady", "of Prometheus' bytes on the wire, with snappy", 1, "prometheus", wire).with(oursSnappy),
		ofPeer("steady", "of an older vmagent's bytes on the wire, with snappy", 1, "vmagent!", wire).with(oursSnappy),
		ofPeer("steady", "of Prometheus' bytes on the wire with 1.0, with 2.0", 0.5, "prometheus", wire).with(ours2),
		ofPeer("steady", "of Prometheus' bytes on the wire, both with 2.0", 1, "prometheus"+suffix2, wire).with(ours2),
		ofPeer("node60-a", "of vmagent's millicores", 1.0/3, "vmagent", millicores),
		ofPeer("node60-a", "of vmagent's bytes on the wire", 1, "vmagent", wire),
		atMost("node60-a", "MiB of working set, at its peak", 28, 1, workingSetPeak),
		ofPeer("node60-b", "of vmagent's millicores", 1.0/3, "vmagent", millicores),
		ofPeer("node60-b", "of vmagent's bytes on the wire", 1, "vmagent", wire),
		atMost("node60-b", "MiB of working set, at its peak", 28, 1, workingSetPeak),
		atMost("small", "CPU-seconds per million samples", 26, 1, cpuPerMillion),
		atMost("small", "MiB resident", 48, 1, anonWindow),
		atMost("small-tls", "MiB resident", 64, 1, anonWindow),
		atMost("huge", "CPU-seconds per million samples", 1.5, 2, cpuPerMillion),
		atMost("blackholes", "ms after they were due, 99 of 100 scrapes of the others", 50, 1, func(r Result) float64 { return r.Late.P99Millis }),
		moreThan("blackholes", "small", "MiB resident more than without black holes", 8, anonWindow),
		atMost("idle", "MiB resident", 5, 1, anonWindow),
		atMost("idle-100", "MiB resident", 8, 1, anonWindow),
	}
}

func cpuPerMillion(r Result) float64  { return r.CPUPerMillion }
func wire(r Result) float64           { return r.WirePerSample }
func millicores(r Result) float64     { return r.Millicores }
func anonPeak(r Result) float64       { return float64(r.AnonPeak) / (1 << 20) }
func anonWindow(r Result) float64     { return float64(r.AnonWindowPeak) / (1 << 20) }
func workingSetPeak(r Result) float64 { return float64(r.WorkingSetPeak) / (1 << 20) }

// find returns the result of an agent.
func (s Set) find(scenario, agent string) (Result, bool) {
	for _, r := range s.Results {
		if r.Scenario == scenario && r.Error == "" && r.Agent == agent {
			return r, true
		}
	}
	return Result{}, false
}

// atMost is a bound on a number of our agent's. Nought means that it was not measured.
func atMost(scenario, unit string, limit float64, digits int, value func(Result) float64) goal {
	return goal{scenario, fmt.Sprintf("at most %g %s", limit, unit), ours, func(s Set, agent string) (string, bool, bool) {
		r, ok := s.find(scenario, agent)
		v := value(r)
		return fmt.Sprintf("%.*f", digits, v), v <= limit, ok && v > 0
	}}
}

// suffix2 is how the names of agents end which are told to use remote write 2.0.
const suffix2 = "-2.0"

// isPeer reports whether an agent is one of the peers which kind says: those whose names begin with it, or end with suffix2, too,
// if kind does; with an exclamation mark, the one of that name.
func isPeer(agent, kind string) bool {
	if name, exactly := strings.CutSuffix(kind, "!"); exactly {
		return agent == name
	}
	begin, two := strings.CutSuffix(kind, suffix2)
	return strings.HasPrefix(agent, begin) && strings.HasSuffix(agent, suffix2) == two
}

// ofPeer is a bound on a ratio between our agent's number and those of all peers of a kind.
func ofPeer(scenario, unit string, limit float64, kind string, value func(Result) float64) goal {
	return goal{scenario, fmt.Sprintf("at most %.2f %s", limit, unit), ours, func(s Set, agent string) (string, bool, bool) {
		r, ok := s.find(scenario, agent)
		var each []string
		kept := true
		for _, peer := range s.Results {
			if peer.Scenario != scenario || peer.Error != "" || !isPeer(peer.Agent, kind) || value(peer) == 0 {
				continue
			}
			ratio := value(r) / value(peer)
			kept = kept && ratio <= limit
			each = append(each, fmt.Sprintf("%.2f of %s's", ratio, peer.Agent))
		}
		return strings.Join(each, ", "), kept, ok && len(each) > 0
	}}
}

// moreThan is a bound on what one scenario takes more than another.
func moreThan(scenario, base, unit string, limit float64, value func(Result) float64) goal {
	return goal{scenario, fmt.Sprintf("at most %g %s", limit, unit), ours, func(s Set, agent string) (string, bool, bool) {
		r, ok1 := s.find(scenario, agent)
		b, ok2 := s.find(base, agent)
		more := value(r) - value(b)
		return fmt.Sprintf("%.1f", more), more <= limit, ok1 && ok2
	}}
}

// writeGoals writes a table of what is promised, and of what was measured.
func writeGoals(b *strings.Builder, set Set) {
	head := "\n## What is promised\n\nOn a machine that has nothing else to do. Resident memory is anonymous memory at the window's peak, working sets are at the\npeak since the start. A goal which was missed stays here.\n\n| scenario | goal | measured | |\n|---|---|---|---|\n"
	for _, g := range goals() {
		measured, kept, ok := g.judge(set, g.agent)
		if !ok {
			continue
		}
		verdict := "kept"
		if !kept {
			verdict = "**missed**"
		}
		fmt.Fprintf(b, "%s| %s | %s | %s | %s |\n", head, g.scenario, g.text, measured, verdict)
		head = ""
	}
}

// writeFloors writes how near our agent is to the least that one can be, where that was measured.
func writeFloors(b *strings.Builder, set Set) {
	head := "\n## How near the limit\n\nMillicores of programs which only fetch, or only fetch, copy and push, beside our agent's.\n\n" +
		"| scenario | fetch and discard | fetch, copy and push | ours | ours / push |\n|---|---|---|---|---|\n"
	for _, s := range set.Scenarios {
		r, ok := set.find(s.Name, ours)
		push, ok2 := set.find(s.Name, "floor-push")
		if !ok || !ok2 || push.Millicores == 0 {
			continue
		}
		discard, _ := set.find(s.Name, "floor-discard")
		fmt.Fprintf(b, "%s| %s | %s | %.1f | %.1f | %.2f |\n", head, s.Name, number(discard.Millicores, 1), push.Millicores, r.Millicores, r.Millicores/push.Millicores)
		head = ""
	}
}

// comparisons are the numbers of which less is better.
var comparisons = []struct {
	name   string
	digits int
	value  func(Result) float64
	// tell says from how much more on than a peer's a number is told.
	ratio, margin float64
}{
	{"CPU-s/M", 2, cpuPerMillion, 1.05, 0.02},
	{"millicores", 1, millicores, 1.05, 0.5},
	{"anon avg MiB", 1, func(r Result) float64 { return float64(r.AnonAvg) / (1 << 20) }, 1.05, 0.2},
	{"anon peak MiB", 1, anonPeak, 1.05, 0.2},
	{"working set peak MiB", 1, workingSetPeak, 1.05, 0.2},
	{"wire B/sample", 1, func(r Result) float64 { return r.WirePerSample }, 1.05, 0.2},
	{"late scrapes", 0, func(r Result) float64 { return float64(r.Late.Late + r.Late.Skipped) }, 1, 0},
	{"missing samples", 0, func(r Result) float64 { return float64(r.Check.Missing) }, 1, 0},
	{"doubles", 0, func(r Result) float64 { return float64(r.Check.Doubles) }, 1, 0},
	{"first sample s", 1, func(r Result) float64 { return r.FirstSampleSeconds }, 1.05, 0.2},
}

// writeLosses writes where a peer did better than our agent.
func writeLosses(b *strings.Builder, set Set) {
	b.WriteString("\n## Where a peer does better\n\n")
	lost := false
	for _, s := range set.Scenarios {
		r, ok := set.find(s.Name, ours)
		if !ok {
			continue
		}
		for _, peer := range of(s.Name, set.Results) {
			if !strings.HasPrefix(peer.Agent, "vmagent") && !isPeer(peer.Agent, "prometheus") || peer.Error != "" {
				continue
			}
			for _, c := range comparisons {
				// Without samples per sample costs are nought, and what was not measured is, too.
				a, p := c.value(r), c.value(peer)
				if a > p*c.ratio && a-p > c.margin && (p > 0 || c.margin == 0) {
					fmt.Fprintf(b, "- %s, %s: %.*f, %s %.*f\n", s.Name, c.name, c.digits, a, peer.Agent, c.digits, p)
					lost = true
				}
			}
		}
	}
	if !lost {
		b.WriteString("In none of the scenarios above, by none of the columns.\n")
	}
}
