package discovery

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// isGlob reports whether the last element of a path is a pattern: it is one if it holds a *.
func isGlob(path string) bool { return strings.Contains(filepath.Base(path), "*") }

// listFiles returns the files that a path of file_sd_configs names, sorted; those of a pattern by its last element. An
// error means that the directory could not be read, so that nothing is known; a file which does not exist in a
// directory that does is no error. Unlike filepath.Glob it tells the two apart. A link which leads nowhere is listed.
func listFiles(path string) ([]string, error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	if !isGlob(path) {
		_, err := os.Lstat(path)
		if err == nil {
			return []string{path}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if _, err := os.Stat(dir); err != nil {
			return nil, err
		}
		return nil, nil
	}
	if _, err := filepath.Match(base, ""); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if ok, _ := filepath.Match(base, e.Name()); ok && !e.IsDir() { // the pattern is good: it was tried above
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found, nil
}
