package web

import (
	"fmt"
	"math"
	"net/http"
	"strings"

	"scraper/bufpool"
	"scraper/labelcompress"
	"scraper/memlimit"
	"scraper/relabel"
	"scraper/scrape"
	"scraper/snapshots"
)

// Memory is the agent's memory at one moment, as its owners see it.
type Memory struct {
	Report    memlimit.Report
	Breakdown memlimit.Breakdown
	// Unknown says why there is no breakdown, if there is none.
	Unknown string
	// Source is whose limit the budget is.
	Source  string
	History []memlimit.Point
	// Group is what the kernel counts for the container; nil where that is not known, or has no limit.
	Group   *memlimit.CgroupUsage
	Buffers bufpool.Stats
	Labels  labelcompress.Stats
	// Largest are the targets which take most, the largest first.
	Largest []scrape.TargetStatus
	// Shortage is what the shortage of memory does to the targets.
	Shortage scrape.MemoryState
	// Snapshots are what was replaced and is still in memory.
	Snapshots []snapshots.Report
}

// memoryPart is a part of the process' resident memory, or of what is counted beside it.
type memoryPart struct {
	Name  string        `json:"name"`
	Kind  memlimit.Kind `json:"kind"`
	Bytes int64         `json:"bytes"`
	// Size is how large it is in address space, touched or not.
	Size int64 `json:"sizeBytes"`
	// Account: an owner says so; the others follow from what the runtime and the kernel say.
	Account  bool   `json:"account"`
	Released int64  `json:"releasedBytes"`
	What     string `json:"what"`
}

// memoryTarget is one of the targets that use most.
type memoryTarget struct {
	Job    string          `json:"job"`
	URL    string          `json:"url"`
	Labels []relabel.Label `json:"-"`
	Series int             `json:"series"`
	Bytes  int64           `json:"bytes"` // of the table
	// DictBytes are what its labels take in the dictionary; others may have the same.
	DictBytes int64 `json:"labelBytes"`
	// BatchBytes are what the last scrape's samples took until it was complete.
	BatchBytes int64 `json:"batchBytes"`
}

type memoryPage struct {
	page
	Memory
	Parts, Beside []memoryPart
	Targets       []memoryTarget
	Chart         *memoryChart // nil until there is a history
	Replaced      []replaced
	Held          []heldTarget
	Next          []heldTarget
}

// FillPercent is the used part of the limit.
func (p memoryPage) FillPercent() int {
	return percent(int(p.Report.Used>>10), int(p.Report.Limit>>10))
}

// Reserve is the part of the budget which is kept free.
func (p memoryPage) Reserve() int64 { return p.Report.Budget - p.Report.Limit }

// Shortest is the highest level that there was.
func (p memoryPage) Shortest() memlimit.Level {
	for l := memlimit.Critical; l > memlimit.Normal; l-- {
		if p.Report.Changes[l] > 0 {
			return l
		}
	}
	return memlimit.Normal
}

// Changes says how often each level was reached, but for normal.
func (p memoryPage) Changes() string {
	var said []string
	for l := memlimit.Elevated; l <= memlimit.Critical; l++ {
		if n := p.Report.Changes[l]; n > 0 {
			said = append(said, fmt.Sprintf("%s %d×", l, n))
		}
	}
	return strings.Join(said, ", ")
}

// CollectorPercent is the garbage collector's share of the CPU time.
func (p memoryPage) CollectorPercent() int { return int(math.Round(100 * p.Report.CollectorShare)) }

// Why says what the recommended limit follows from; empty until something was used.
func (p memoryPage) Why() string {
	if p.Report.MostUsed == 0 {
		return ""
	}
	why := fmt.Sprintf("At most %s were used since the start, which are to be less than 60 %% of what the reserve leaves.", byteSize(p.Report.MostUsed))
	if r := p.Report; r.Recommended <= memlimit.LeastRecommended {
		why = fmt.Sprintf("At most %s were used since the start; less than %s is never recommended.", byteSize(r.MostUsed), byteSize(int64(memlimit.LeastRecommended)))
	} else if r.Used+r.HeldBack > r.MostUsed {
		why = fmt.Sprintf("%s are used, and targets which are held back would take about %s, which together are to be less than 60 %% of what the reserve leaves.",
			byteSize(r.Used), byteSize(r.HeldBack))
	}
	if p.Shortest() > memlimit.Normal {
		why += " More might have been, since memory was short."
	}
	return why
}

// memoryParts says what the parts of the resident memory are.
func memoryParts(m *Memory) []memoryPart {
	released := make(map[string]int64)
	for _, u := range m.Report.Accounts {
		released[u.Name] = u.Released
	}
	parts := []memoryPart{}
	for _, p := range m.Breakdown.Parts {
		account := p.Kind == memlimit.KindAccount
		parts = append(parts, memoryPart{p.Name, p.Kind, p.Bytes, p.Size, account, released[p.Name], partMeaning(p.Name)})
	}
	return parts
}

// besideParts are the accounts of what is not in the process, and yet counted.
func besideParts(r *memlimit.Report) []memoryPart {
	parts := []memoryPart{}
	for _, u := range r.Accounts {
		if u.OffHeap {
			parts = append(parts, memoryPart{u.Name, memlimit.KindAccount, u.Bytes, u.Bytes, true, u.Released, partMeaning(u.Name)})
		}
	}
	return parts
}

func partMeaning(name string) string {
	if strings.HasPrefix(name, "remotewrite ") {
		return "blocks which wait for the destination, and what is known about those on disk"
	}
	switch name {
	case "buffers":
		return "pooled buffers: parser windows, batches, open blocks, idle ones"
	case "labels":
		return "the dictionary of labels, which all targets share"
	case "connections":
		return "idle connections to targets, and the buffers through which answers are read"
	case "decoders":
		return "what decompresses answers"
	case "series":
		return "the targets' series tables"
	case "encoding":
		return "what encoding takes, and remembered results of destinations' rules"
	case "kernel":
		return "what the kernel holds for the container: tables, descriptors, sockets where they count"
	case "others":
		return "other processes of the container, files on tmpfs, and more pages than usual which wait to be written"
	case "queue on tmpfs":
		return "files of the queue, whose directory is in memory"
	case "other objects":
		return "objects in no account, and those which the next garbage collection frees"
	case "heap, unused":
		return "space between objects, as far as it was ever touched"
	case "heap, free":
		return "free, and not returned to the system yet"
	case "stacks":
		return "of goroutines"
	case "runtime":
		return "what the Go runtime needs itself: tables, caches, profiles"
	case "program":
		return "data of the executable"
	}
	return ""
}

func memoryTargets(all []scrape.TargetStatus) []memoryTarget {
	list := []memoryTarget{}
	for _, t := range all {
		list = append(list, memoryTarget{t.Job, t.URL, t.Labels, t.Series, t.MemoryBytes, t.LabelBytes, t.BatchBytes})
	}
	return list
}

// memory shows who holds how much, as a page or as JSON.
func (s *Server) memory(w http.ResponseWriter, r *http.Request) {
	if s.o.Memory == nil {
		http.NotFound(w, r)
		return
	}
	m := s.o.Memory()
	v := memoryPage{
		page: s.page(r, "memory", "Memory"), Memory: m, Parts: memoryParts(&m), Beside: besideParts(&m.Report),
		Targets: memoryTargets(m.Largest), Chart: chartOf(m.History), Replaced: replacedOf(m.Snapshots),
		Held: heldTargets(m.Shortage.Held), Next: heldTargets(m.Shortage.Next),
	}
	w.Header().Add("Vary", "Accept")
	if r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json") {
		writeJSON(w, http.StatusOK, v.json())
		return
	}
	v.Base, v.Refresh = "../", 3000
	s.render(w, "memory.html", v)
}
