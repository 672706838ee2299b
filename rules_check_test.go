package scraper_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path of the module.
const module = "scraper"

// pkg is a package of the module, parsed.
type pkg struct {
	path  string // in the module
	files []file
}

type file struct {
	name string // path in the module
	test bool
	set  *token.FileSet
	ast  *ast.File
}

// at is the position of n, to be clicked on.
func (f *file) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.name, f.set.Position(n.Pos()).Line)
}

// imports are the paths which f imports, and where.
func (f *file) imports() map[string]ast.Node {
	all := make(map[string]ast.Node)
	for _, spec := range f.ast.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			all[p] = spec
		}
	}
	return all
}

// loadTree parses all packages of the module at root, whatever their build constraints; modules below it are not its.
func loadTree(root string) ([]*pkg, error) {
	byPath := make(map[string]*pkg)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, modErr := os.Stat(filepath.Join(name, "go.mod"))
			hidden := strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_")
			if name != root && (hidden || d.Name() == "testdata" || modErr == nil) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		f, err := parse(filepath.ToSlash(rel), string(src))
		if err != nil {
			return err
		}
		dir := path.Dir(f.name)
		if byPath[dir] == nil {
			byPath[dir] = &pkg{path: dir}
		}
		byPath[dir].files = append(byPath[dir].files, f)
		return nil
	})
	return slices.SortedFunc(maps.Values(byPath), func(a, b *pkg) int { return cmp.Compare(a.path, b.path) }), err
}

func parse(name, src string) (file, error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, src, parser.ParseComments)
	return file{name: name, test: strings.HasSuffix(name, "_test.go"), set: set, ast: f}, err
}

// check returns what in the tree is against the rules.
func check(tree []*pkg) (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, p := range tree {
		checkComment(p, report)
		checkImports(p, report)
		for _, f := range p.files {
			if !f.test {
				checkNames(p, &f, report)
				checkGlobals(&f, report)
			}
		}
	}
	checkReach(tree, report)
	return problems
}

type reporter func(format string, args ...any)

// checkComment wants one package comment per package: none says nothing, two contradict each other.
func checkComment(p *pkg, report reporter) {
	var with []string
	var code *file
	for _, f := range p.files {
		if f.test {
			continue
		}
		code = &f
		if f.ast.Doc == nil {
			continue
		}
		with = append(with, f.at(f.ast.Doc))
		want := "Package " + f.ast.Name.Name + " "
		if f.ast.Name.Name == "main" {
			want = "Command " + path.Base(p.path) + " "
		}
		if !strings.HasPrefix(f.ast.Doc.Text(), want) {
			report("%s: the package comment begins %.30q, want %q", f.at(f.ast.Doc), f.ast.Doc.Text(), want)
		}
	}
	if code == nil {
		return
	}
	if len(with) != 1 {
		report("%s: %d package comments %v, want one: what, what not, concurrency, ownership, which file to read first", p.path, len(with), with)
	}
	if name := code.ast.Name.Name; slices.Contains(forbiddenPackages, name) || slices.Contains(forbiddenPackages, path.Base(p.path)) {
		report("%s: a package named %s says nothing about what is in it", p.path, name)
	}
}

func checkImports(p *pkg, report reporter) {
	isTestOnly := func(importPath string) bool {
		return slices.ContainsFunc(testOnly, func(t string) bool { return importPath == t || importPath == module+"/"+t })
	}
	for _, f := range p.files {
		for _, imp := range slices.Sorted(maps.Keys(f.imports())) {
			node := f.imports()[imp]
			if f.test {
				continue
			}
			for pattern, allowed := range onlyImports {
				if matches(pattern, p.path) && !isStd(imp) && !slices.ContainsFunc(allowed, func(a string) bool { return matches(a, imp) }) {
					report("%s: %s imports %s, want only the standard library and %v", f.at(node), p.path, imp, allowed)
				}
			}
			if isTestOnly(imp) && !slices.Contains(testOnly, p.path) {
				report("%s: imports %s, which is for tests", f.at(node), imp)
			}
			for _, r := range forbiddenImports {
				if imp == r.path && !allowedIn(p.path, r.but) {
					report("%s: imports %s: %s", f.at(node), imp, r.why)
				}
			}
			if imp == "unsafe" && path.Base(f.name) != "unsafe.go" {
				report("%s: imports unsafe, which belongs into one file of a package, unsafe.go, with a twin for -tags purego", f.at(node))
			}
		}
	}
}

// checkNames looks at each use of a name of another package.
func checkNames(p *pkg, f *file, report reporter) {
	names := importNames(f)
	ast.Inspect(f.ast, func(n ast.Node) bool {
		imp, name, ok := qualified(n, names)
		if !ok {
			return true
		}
		for _, r := range forbiddenNames {
			if imp == r.path && slices.ContainsFunc(r.names, func(n string) bool { return fits(n, name) }) && !allowedIn(p.path, r.but) {
				report("%s: uses %s.%s: %s", f.at(n), path.Base(imp), name, r.why)
			}
		}
		return true
	})
}

// checkGlobals looks at what happens, or is made, before main.
func checkGlobals(f *file, report reporter) {
	names := importNames(f)
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				report("%s: func init: importing a package must do nothing; let New do it", f.at(d))
			}
		case *ast.GenDecl:
			if d.Tok != token.VAR {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if _, ok := n.(*ast.FuncLit); ok {
					return false // runs when it is called
				}
				if imp, name, ok := qualified(n, names); ok {
					for _, r := range forbiddenGlobals {
						if imp == r.path && fits(r.name, name) {
							report("%s: a package-level variable with %s.%s: %s", f.at(n), path.Base(imp), name, r.why)
						}
					}
				}
				return true
			})
		}
	}
}

// checkReach follows imports from package to package.
func checkReach(tree []*pkg, report reporter) {
	type edge struct{ to, at string }
	edges := make(map[string][]edge)
	for _, p := range tree {
		for _, f := range p.files {
			for imp, node := range f.imports() {
				if !f.test {
					edges[p.path] = append(edges[p.path], edge{strings.TrimPrefix(imp, module+"/"), f.at(node)})
				}
			}
		}
	}
	for _, r := range mustNotReach {
		for _, p := range tree {
			if !matches(r.from, p.path) {
				continue
			}
			seen := map[string]bool{p.path: true}
			var walk func(from string, way []string)
			walk = func(from string, way []string) {
				for _, e := range edges[from] {
					if e.to == r.to || strings.HasPrefix(e.to, r.to+"/") && strings.Contains(r.to, ".") {
						report("%s: %s reaches %s: %s", strings.Join(append(way, e.at), ", "), p.path, e.to, r.why)
					} else if !seen[e.to] {
						seen[e.to] = true
						walk(e.to, append(slices.Clone(way), e.at))
					}
				}
			}
			walk(p.path, nil)
		}
	}
}

// importNames are the import paths of f by the name which f uses for them.
func importNames(f *file) map[string]string {
	names := make(map[string]string)
	for _, spec := range f.ast.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(imp)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = imp
	}
	return names
}

// qualified reports which name of which import n is.
func qualified(n ast.Node, imports map[string]string) (imp, name string, ok bool) {
	sel, isSel := n.(*ast.SelectorExpr)
	if !isSel {
		return "", "", false
	}
	x, isIdent := sel.X.(*ast.Ident)
	if !isIdent || x.Obj != nil { // Obj: a variable of the same name
		return "", "", false
	}
	imp, ok = imports[x.Name]
	return imp, sel.Sel.Name, ok
}

// matches reports whether pattern is p, or ends in "..." and is a prefix of it.
func matches(pattern, p string) bool {
	prefix, wild := strings.CutSuffix(pattern, "...")
	return p == pattern || wild && strings.HasPrefix(p+"/", prefix)
}

// fits reports whether pattern is name, or ends in "*" and is a prefix of it.
func fits(pattern, name string) bool {
	prefix, wild := strings.CutSuffix(pattern, "*")
	return name == pattern || wild && strings.HasPrefix(name, prefix)
}

func isStd(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return first != module && !strings.Contains(first, ".")
}

func allowedIn(p string, places []place) bool {
	return slices.ContainsFunc(places, func(a place) bool { return a.pkg == p })
}

// TestRulesCatch gives the checks something to find.
func TestRulesCatch(t *testing.T) {
	f := func(want string, nameAndSource ...string) {
		t.Helper()
		byPath := make(map[string]*pkg)
		for i := 0; i < len(nameAndSource); i += 2 {
			f, err := parse(nameAndSource[i], nameAndSource[i+1])
			if err != nil {
				t.Fatal(err)
			}
			dir := path.Dir(f.name)
			if byPath[dir] == nil {
				byPath[dir] = &pkg{path: dir}
			}
			byPath[dir].files = append(byPath[dir].files, f)
		}
		got := check(slices.Collect(maps.Values(byPath)))
		switch {
		case want == "" && len(got) > 0:
			t.Errorf("check(%q) = %q, want nothing", nameAndSource, got)
		case want != "" && (len(got) != 1 || !strings.Contains(got[0], want)):
			t.Errorf("check(%q) = %q, want one problem with %q", nameAndSource, got, want)
		}
	}
	const doc = "// Package a is.\npackage a\n"
	f("", "a/a.go", doc)
	f("", "a/a_test.go", "package a\nimport \"flag\"\nfunc init() { flag.Parse() }")
	f("", "cmd/scraper/main.go", "// Command scraper is.\npackage main\nimport \"os\"\nfunc main() { os.Exit(len(os.Args)) }")
	f("", "a/a.go", doc+"import \"net/http\"\nfunc f(http struct{ Get int }) int { return http.Get }")
	f("", "a/a.go", doc+"import \"sync\"\ntype t struct { p sync.Pool }")

	f("a: 0 package comments", "a/a.go", "package a")
	f("a: 2 package comments [a/a.go:1 a/b.go:1]", "a/a.go", doc, "a/b.go", doc)
	f(`want "Package a "`, "a/a.go", "// Some words.\npackage a")
	f("a package named util", "a/util/a.go", "// Package util is.\npackage util")
	f("bufpool imports github.com/x/y", "bufpool/a.go", "// Package bufpool is.\npackage bufpool\nimport _ \"github.com/x/y\"")
	f("bufpool imports scraper/a", "bufpool/a.go", "// Package bufpool is.\npackage bufpool\nimport _ \"scraper/a\"")
	f("internal/x imports scraper/a", "internal/x/a.go", "// Package x is.\npackage x\nimport _ \"scraper/a\"")
	f("a/a.go:3: a reaches github.com/prometheus/prometheus/model", "a/a.go", doc+"import _ \"github.com/prometheus/prometheus/model\"")
	f("scrape/a.go:3, a/a.go:3: scrape reaches remotewrite",
		"scrape/a.go", "// Package scrape is.\npackage scrape\nimport _ \"scraper/a\"",
		"a/a.go", doc+"import _ \"scraper/remotewrite\"")
	f("a/a.go:3: imports testing, which is for tests", "a/a.go", doc+"import _ \"testing\"")
	f("a/a.go:3: imports scraper/internal/memnet, which is for tests", "a/a.go", doc+"import _ \"scraper/internal/memnet\"")
	f("a/a.go:3: imports log: ", "a/a.go", doc+"import _ \"log\"")
	f("a/a.go:3: imports flag: ", "a/a.go", doc+"import _ \"flag\"")
	f("a/a.go:3: imports unsafe", "a/a.go", doc+"import _ \"unsafe\"")
	f("a/a.go:4: uses os.Exit: ", "a/a.go", doc+"import \"os\"\nfunc f() { os.Exit(1) }")
	f("a/a.go:4: uses http.DefaultClient: ", "a/a.go", doc+"import h \"net/http\"\nvar c = h.DefaultClient")
	f("a/a.go:4: uses slog.Info: ", "a/a.go", doc+"import \"log/slog\"\nfunc f() { slog.Info(\"x\") }")
	f("a/a.go:4: uses promauto.NewGauge: ", "a/a.go",
		doc+"import \"github.com/prometheus/client_golang/prometheus/promauto\"\nfunc f() { promauto.NewGauge(o) }")
	f("", "a/a.go", doc+"import \"github.com/prometheus/client_golang/prometheus/promauto\"\nfunc f() { promauto.With(r).NewGauge(o) }")
	f("a/a.go:3: func init", "a/a.go", doc+"func init() {}")
	f("a/a.go:4: a package-level variable with prometheus.NewCounter", "a/a.go",
		doc+"import \"github.com/prometheus/client_golang/prometheus\"\nvar c = prometheus.NewCounter(prometheus.CounterOpts{})")
	f("a/a.go:4: a package-level variable with sync.Pool", "a/a.go", doc+"import \"sync\"\nvar p = &sync.Pool{}")
	f("a/a.go:4: a package-level variable with sync.Pool", "a/a.go", doc+"import \"sync\"\nvar p struct { q sync.Pool }")
}
