package labelcompress

// Ref names one label (a pair of name and value) in a Dict. Zero is never a valid Ref.
type Ref uint32

// Dict is the dictionary. STUB: replaced by its implementation.
type Dict struct{}

// Intern returns the reference of the label name=value and acquires it once. It borrows both.
func (d *Dict) Intern(name, value []byte) (Ref, error) { return 0, nil }

// Acquire adds a holder to r, which the caller must hold already.
func (d *Dict) Acquire(r Ref) {}

// Release drops one holder of r.
func (d *Dict) Release(r Ref) {}

// Wire returns the label as remote write 1 carries it inside a TimeSeries.
func (d *Dict) Wire(r Ref) []byte { return nil }

// Name and Value return views of the label's text.
func (d *Dict) Name(r Ref) []byte { return nil }

// Value returns a view of the label's value.
func (d *Dict) Value(r Ref) []byte { return nil }
