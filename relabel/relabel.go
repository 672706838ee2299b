// Package relabel applies relabeling rules to label sets.
//
// STUB: the types below are the contract that config, scrape, discovery and remotewrite build on.
package relabel

// Label is one name and value.
type Label struct{ Name, Value string }

// Hash selects what the hashmod action hashes with: the two peers contradict each other.
type Hash uint8

// The hashes of hashmod.
const (
	HashMD5    Hash = iota // Prometheus: the last 8 bytes of the MD5 sum
	HashXXHash             // vmagent: xxhash64
)

// Config is one rule as it is written, with defaults not yet filled in. Pointers tell "absent" from "empty".
type Config struct {
	Action       string
	SourceLabels []string
	Separator    *string
	TargetLabel  string
	Regex        *string
	Modulus      uint64
	Replacement  *string
	// Line is the rule's line in its file, 0 if unknown; errors name it.
	Line int
}

// Options says how rules are to be understood.
type Options struct {
	Hash Hash
}

// Rules is a compiled list of rules: immutable, and safe for concurrent use. A nil *Rules keeps everything unchanged.
type Rules struct{ cfgs []Config }

// Compile checks and compiles rules. The error names the rule by its index and line.
func Compile(cfgs []Config, o Options) (*Rules, error) { return &Rules{cfgs}, nil }

// Labels is a mutable label set which rules work on. The zero value is empty and ready for use. Its order is
// insertion order until Sort. Names are unique. An empty value means that the label is absent.
type Labels struct{ L []Label }

// Apply runs the rules on ls in order, and reports whether the set is kept. Of a dropped set nothing may be assumed.
func (r *Rules) Apply(ls *Labels) bool { return true }

// Len is the number of rules.
func (r *Rules) Len() int { return len(r.cfgs) }
