package web

import (
	"time"

	"scraper/bufpool"
	"scraper/labelcompress"
	"scraper/memlimit"
)

// The answer's fields are for programs: docs/debug-memory.md says what each is, and TestMemoryNames that none is renamed. A list
// without entries is empty, not null.
type (
	memoryJSON struct {
		Time          time.Time         `json:"time"`
		ResidentAnon  int64             `json:"residentAnonBytes"`
		ResidentFile  int64             `json:"residentFileBytes"`
		Parts         []memoryPart      `json:"parts"`
		Sum           int64             `json:"sumBytes"`           // of the parts
		NotAttributed int64             `json:"notAttributedBytes"` // resident, and in no part
		Error         string            `json:"error,omitempty"`    // why there are no parts
		Budget        budgetJSON        `json:"budget"`
		Level         string            `json:"level"`
		LevelChanges  map[string]uint64 `json:"levelChanges"`
		GCShare       float64           `json:"gcCPUShare"`
		Beside        []memoryPart      `json:"beside"`
		Container     *containerJSON    `json:"container"`
		Targets       []memoryTarget    `json:"largestTargets"`
		Buffers       buffersJSON       `json:"buffers"`
		Labels        labelsJSON        `json:"labels"`
		Returns       uint64            `json:"returns"`
		History       []historyJSON     `json:"history"`
		Admission     admissionJSON     `json:"admission"`
		Shedding      sheddingJSON      `json:"shedding"`
		Replaced      []replaced        `json:"superseded"`
	}
	budgetJSON struct {
		Bytes     int64  `json:"bytes"` // 0: not limited
		Source    string `json:"source,omitempty"`
		Limit     int64  `json:"limitBytes"` // without the reserve
		SoftLimit int64  `json:"softLimitBytes"`
		Used      int64  `json:"usedBytes"`
		MostUsed  int64  `json:"mostUsedBytes"` // since the start
		HeldBack  int64  `json:"heldBackBytes"` // what held targets would take
		// Recommended is the budget in which that is normal, and Why says so.
		Recommended int64  `json:"recommendedBytes"`
		Why         string `json:"recommendedWhy,omitempty"`
	}
	containerJSON struct {
		Total   int64  `json:"totalBytes"`
		Anon    int64  `json:"anonBytes"`
		File    int64  `json:"fileBytes"`
		Dirty   int64  `json:"dirtyBytes"`
		Shmem   int64  `json:"shmemBytes"`
		Kernel  int64  `json:"kernelBytes"`
		Sockets int64  `json:"socketBytes"`
		Kills   uint64 `json:"oomKills"`
	}
	buffersJSON struct {
		MaxIdle  int64       `json:"maxIdleBytes"`
		Classes  []classJSON `json:"classes"`
		Oversize classJSON   `json:"oversize"`
		Total    classJSON   `json:"total"`
	}
	classJSON struct {
		Class      int    `json:"classBytes"` // of a buffer; 0 where they differ
		InUse      int    `json:"inUse"`
		InUseBytes int64  `json:"inUseBytes"`
		Idle       int    `json:"idle"`
		IdleBytes  int64  `json:"idleBytes"`
		Gets       uint64 `json:"gets"`
		Misses     uint64 `json:"misses"`
		Shrunk     uint64 `json:"shrunkBytes"`
		Refused    uint64 `json:"refusedBytes"`
	}
	labelsJSON struct {
		Items        int     `json:"items"`
		Bytes        int64   `json:"bytes"`
		MaxBytes     int64   `json:"maxBytes"` // 0: no bound
		LiveBytes    int64   `json:"liveBytes"`
		SlabBytes    int64   `json:"slabBytes"`
		IndexBytes   int64   `json:"indexBytes"`
		RefBytes     int64   `json:"refBytes"`
		Limbo        int     `json:"limbo"`
		OpenBlocks   int     `json:"openBlocks"`
		OldestBlock  float64 `json:"oldestBlockSeconds"`
		OldestHolder string  `json:"oldestBlockHolder,omitempty"`
		Rejected     uint64  `json:"rejected"`
		Compactions  uint64  `json:"compactions"`
		Released     uint64  `json:"releasedBytes"`
	}
	historyJSON struct {
		Time     time.Time `json:"time"`
		Used     int64     `json:"usedBytes"`
		Resident int64     `json:"residentAnonBytes"`
		Limit    int64     `json:"limitBytes"`
		Level    string    `json:"level"`
	}
)

func (p *memoryPage) json() memoryJSON {
	r := &p.Report
	j := memoryJSON{
		Time: p.Now, ResidentAnon: p.Breakdown.ResidentAnon, ResidentFile: r.ResidentFile, Parts: p.Parts, Sum: p.Breakdown.Sum,
		NotAttributed: p.Breakdown.NotAttributed, Error: p.Unknown,
		Budget: budgetJSON{r.Budget, p.Source, r.Limit, r.SoftLimit, r.Used, r.MostUsed, r.HeldBack, r.Recommended, p.Why()}, Level: r.Level.String(),
		LevelChanges: make(map[string]uint64), GCShare: r.CollectorShare, Beside: p.Beside, History: []historyJSON{},
		Targets: p.Targets, Buffers: buffersOf(&p.Buffers), Labels: labelsOf(&p.Labels), Returns: r.Returns,
		Admission: admissionOf(p.Shortage.Admission), Shedding: p.shedding(), Replaced: p.Replaced,
	}
	for level, n := range r.Changes {
		j.LevelChanges[memlimit.Level(level).String()] = n
	}
	if g := p.Group; g != nil {
		j.Container = &containerJSON{g.Total, g.Anon, g.File, g.Dirty, g.Shmem, g.Kernel, g.Sockets, g.Kills}
	}
	for _, h := range p.History {
		j.History = append(j.History, historyJSON{h.At, h.Used, h.Resident, h.Limit, h.Level.String()})
	}
	return j
}

func buffersOf(s *bufpool.Stats) buffersJSON {
	one := func(c bufpool.ClassStats) classJSON {
		return classJSON{c.ClassBytes, c.InUse, c.InUseBytes, c.Idle, c.IdleBytes, c.Gets, c.Misses, c.ShrunkBytes, c.RefusedBytes}
	}
	j := buffersJSON{MaxIdle: s.MaxIdleBytes, Classes: []classJSON{}, Oversize: one(s.Oversize), Total: one(s.Total)}
	for _, c := range s.Classes {
		j.Classes = append(j.Classes, one(c))
	}
	return j
}

func labelsOf(s *labelcompress.Stats) labelsJSON {
	return labelsJSON{
		Items: s.Items, Bytes: s.Bytes, MaxBytes: s.MaxBytes, LiveBytes: s.LiveBytes, SlabBytes: s.SlabBytes, IndexBytes: s.IndexBytes, RefBytes: s.RefBytes,
		Limbo: s.Limbo, OpenBlocks: s.OpenBlocks, OldestBlock: s.OldestBlockAge.Seconds(), OldestHolder: s.OldestBlockHolder,
		Rejected: s.Rejected, Compactions: s.Compactions, Released: s.Released,
	}
}
