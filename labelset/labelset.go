package labelset

import "scraper/labelcompress"

// ID names a label set of a Store.
type ID uint32

// Store holds the label sets of one target. STUB: replaced by its implementation.
type Store struct{}

// New returns an empty store. Common are the labels which most of the target's series share, sorted by name; the store
// acquires its own references of them.
func New(dict *labelcompress.Dict, common []labelcompress.Ref) *Store { return nil }

// Add stores a label set, sorted by name, and returns its ID. It takes ownership of one reference of each of refs.
func (s *Store) Add(refs []labelcompress.Ref) (ID, error) { return 0, nil }

// Dict is the dictionary that the store's references belong to.
func (s *Store) Dict() *labelcompress.Dict { return nil }

// AppendRefs appends the label set to dst, sorted by name. The references are borrowed.
func (s *Store) AppendRefs(dst []labelcompress.Ref, id ID) []labelcompress.Ref { return dst }

// Close releases all references.
func (s *Store) Close() {}
