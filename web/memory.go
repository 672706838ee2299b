package web

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"scraper/bufpool"
	"scraper/labelcompress"
	"scraper/memlimit"
	"scraper/relabel"
	"scraper/scrape"
)

// topTargets is how many of the targets that use most memory are shown.
const topTargets = 10

// Memory is the agent's memory at one moment, as its owners see it.
type Memory struct {
	Report  memlimit.Report
	Buffers bufpool.Stats
	Labels  labelcompress.Stats
}

// memoryPart is a part of the process' resident memory. The parts add up to it.
type memoryPart struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	// Account: an owner says so; the others follow from what the runtime and the kernel say.
	Account bool   `json:"account"`
	What    string `json:"what"`
}

// memoryTarget is one of the targets that use most.
type memoryTarget struct {
	Job    string          `json:"job"`
	URL    string          `json:"url"`
	Labels []relabel.Label `json:"-"`
	Series int             `json:"series"`
	Bytes  int64           `json:"bytes"`
}

type memoryPage struct {
	page
	Memory
	Parts   []memoryPart
	Targets []memoryTarget
}

// memoryParts splits the resident memory into what owners account for and what remains.
func memoryParts(r *memlimit.Report) []memoryPart {
	var parts []memoryPart
	for _, u := range r.Accounts {
		parts = append(parts, memoryPart{u.Name, u.Bytes, true, accountMeaning(u.Name)})
	}
	rest := r.ResidentAnon - r.HeapObjects - r.HeapUnused - r.HeapFree - r.Stacks - r.Runtime
	return append(parts,
		memoryPart{"other objects", r.HeapObjects - r.Sum, false, "objects in no account, and those which the next garbage collection frees"},
		memoryPart{"heap, unused", r.HeapUnused, false, "space between objects"},
		memoryPart{"heap, free", r.HeapFree, false, "free, and not returned to the system yet"},
		memoryPart{"stacks", r.Stacks, false, "of goroutines"},
		memoryPart{"runtime", r.Runtime, false, "what the Go runtime needs itself"},
		memoryPart{"rest", rest, false, "resident and none of the above; less than nothing where memory was reserved and never touched"},
	)
}

func accountMeaning(name string) string {
	switch name {
	case "buffers":
		return "pooled buffers: parser windows, batches, blocks which wait to be sent, idle ones"
	case "labels":
		return "the dictionary of labels, which all targets share"
	case "connections":
		return "idle connections to targets, and the buffers through which answers are read"
	case "series":
		return "the targets' series tables"
	}
	return ""
}

func largestTargets(s *scrape.Snapshot) []memoryTarget {
	all := slices.Clone(s.Targets)
	slices.SortStableFunc(all, func(a, b scrape.TargetStatus) int { return cmp.Compare(b.MemoryBytes, a.MemoryBytes) })
	var top []memoryTarget
	for _, t := range all[:min(topTargets, len(all))] {
		top = append(top, memoryTarget{t.Job, t.URL, t.Labels, t.Series, t.MemoryBytes})
	}
	return top
}

// memory shows who holds how much, as a page or as JSON.
func (s *Server) memory(w http.ResponseWriter, r *http.Request) {
	if s.o.Memory == nil {
		http.NotFound(w, r)
		return
	}
	m := s.o.Memory()
	snap := s.o.Targets()
	parts, targets := memoryParts(&m.Report), largestTargets(&snap)
	if r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json") {
		writeJSON(w, http.StatusOK, struct {
			ResidentAnon int64               `json:"residentAnonBytes"`
			ResidentFile int64               `json:"residentFileBytes"`
			Parts        []memoryPart        `json:"parts"`
			Targets      []memoryTarget      `json:"largestTargets"`
			Buffers      bufpool.Stats       `json:"buffers"`
			Labels       labelcompress.Stats `json:"labels"`
			Returns      uint64              `json:"returns"`
		}{m.Report.ResidentAnon, m.Report.ResidentFile, parts, targets, m.Buffers, m.Labels, m.Report.Returns})
		return
	}
	v := memoryPage{page: s.page(r, "memory", "Memory"), Memory: m, Parts: parts, Targets: targets}
	v.Base, v.Refresh = "../", 3000
	s.render(w, "memory.html", v)
}
