package memlimit

import (
	"runtime"
	"strings"
	"testing"
)

// TestReadMaps pins which mappings are the heap's, the program's and the runtime's, with names by the kernel and without.
func TestReadMaps(t *testing.T) {
	mapping := func(head, kib string) string {
		return head + "\nSize: 1000 kB\nRss: " + kib + " kB\nAnonymous:           " + kib + " kB\nVmFlags: rd wr mr mw me ac sd\n"
	}
	const object = 0xeee08412345
	plain := mapping("00400000-00a00000 r-xp 00000000 fe:00 1234                               /a b/scraper", "0") +
		mapping("012e6000-01373000 rw-p 00ee6000 fe:00 10002468                           /a b/scraper", "104") +
		mapping("01373000-033b9000 rw-p 00000000 00:00 0 ", "108") +
		mapping("2e3b9000-2e3da000 rw-p 00000000 00:00 0                                  [heap]", "4") +
		mapping("eee08400000-eee08c00000 rw-p 00000000 00:00 0 ", "3000") +
		mapping("eee08c00000-eee0c400000 ---p 00000000 00:00 0 ", "300") +
		mapping("7f58da390000-7f58da700000 rw-p 00000000 00:00 0 ", "1672") +
		mapping("7ffd804a9000-7ffd804ca000 rw-p 00000000 00:00 0                          [stack]", "12") +
		mapping("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]", "0")
	// The heap may lie across any round address.
	across := strings.ReplaceAll(plain, "eee08400000-eee08c00000", "efffff00000-f0000a00000")
	across = strings.ReplaceAll(across, "eee08c00000-eee0c400000", "f0000a00000-f0004000000")
	named := mapping("c000000000-c000400000 rw-p 00000000 00:00 0                              [anon: Go: heap]", "3300") +
		mapping("12345678000-12345679000 rw-p 00000000 00:00 0                            [anon: Go: immortal metadata]", "1672") +
		mapping("012e6000-01373000 rw-p 00ee6000 fe:00 10002468                           /scraper", "228")
	want := regions{heap: 3300 << 10, program: 228 << 10, runtime: 1672 << 10}
	for name, text := range map[string]string{"plain": plain, "across": across, "named": named} {
		got, err := readMaps(strings.NewReader(text), object)
		if err != nil || got != want {
			t.Errorf("%s: readMaps() = %+v, %v, want %+v", name, got, err, want)
		}
	}
	for _, text := range []string{"Anonymous: x kB\n", "xyz\n", "12-yz rw-p\n"} {
		if _, err := readMaps(strings.NewReader(text), 1); err == nil {
			t.Errorf("readMaps(%q) succeeded, want an error", text)
		}
	}
}

// TestBreakdown pins how the two views are combined, and that what does not fit shows.
func TestBreakdown(t *testing.T) {
	r := Report{
		Accounts: []Use{{Name: "labels", Bytes: 40}, {Name: "tmpfs", Bytes: 1000, OffHeap: true}}, Sum: 40, OffHeap: 1000,
		HeapObjects: 100, HeapUnused: 20, HeapFree: 20, Stacks: 10, Runtime: 50, ResidentAnon: 160,
	}
	b := breakdown(&r, regions{heap: 125, runtime: 20, program: 10})
	got := make(map[string]Part)
	var sum int64
	for _, p := range b.Parts {
		got[p.Name] = p
		sum += p.Bytes
	}
	if len(b.Parts) != 7 || got["labels"].Bytes != 40 || got["other objects"].Bytes != 60 || got["heap, free"].Bytes != 10 ||
		got["stacks"] != (Part{"stacks", KindHeap, 5, 10}) || got["runtime"] != (Part{"runtime", KindKernel, 20, 50}) {
		t.Errorf("breakdown: %+v, want half of what is beside objects", b.Parts)
	}
	if sum != b.Sum || sum != 155 || b.NotAttributed != 5 {
		t.Errorf("sum %d, not attributed %d, want 155 and 5", b.Sum, b.NotAttributed)
	}
	// Owners which claim more than there is are not hidden.
	r.Accounts[0].Bytes, r.Sum = 400, 400
	if b := breakdown(&r, regions{heap: 125, runtime: 20, program: 10}); b.NotAttributed != 160-(400+25+30) {
		t.Errorf("not attributed %d with an account that claims too much, want %d", b.NotAttributed, 160-(400+25+30))
	}
	// Objects which were never touched are not, either.
	r.Accounts[0].Bytes, r.Sum = 40, 40
	if b := breakdown(&r, regions{heap: 70, runtime: 20, program: 10}); b.NotAttributed != 160-(100+30) {
		t.Errorf("not attributed %d with untouched objects, want %d", b.NotAttributed, 160-(100+30))
	}
}

// TestBreakdownOfThisProcess pins that the parts add up to what the kernel says, and that an account is among them.
func TestBreakdownOfThisProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what is resident of a mapping")
	}
	k := New(Options{})
	held := make([]byte, 32<<20)
	for i := 0; i < len(held); i += 512 {
		held[i] = 1
	}
	k.Register(Account{Name: "held", Bytes: func() int64 { return int64(len(held)) }})
	b, err := k.Breakdown()
	if err != nil {
		t.Fatal(err)
	}
	const slack = 1 << 20
	if d := max(b.NotAttributed, -b.NotAttributed); d > b.ResidentAnon/10+slack {
		t.Errorf("the parts add up to %d of %d resident bytes, want all but a tenth: %+v", b.Sum, b.ResidentAnon, b.Parts)
	}
	if b.Parts[0] != (Part{"held", KindAccount, 32 << 20, 32 << 20}) {
		t.Errorf("first part %+v, want the account", b.Parts[0])
	}
	runtime.KeepAlive(held)
}
