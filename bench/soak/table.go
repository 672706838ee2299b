package main

import (
	"fmt"
	"os"
	"strings"
)

// writeResults writes a page with a table of all results.
func writeResults(name, about string, results []result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Soak\n\n%s\n\nWritten by `make soak`; figures are of this machine and this run.\n\n", about)
	b.WriteString("| case | must hold | verdict | figures |\n|---|---|---|---|\n")
	for _, r := range results {
		figures := append([]string{}, r.figures...)
		for _, f := range r.failures {
			figures = append(figures, "**"+firstLine(f)+"**")
		}
		if r.skipped != "" {
			figures = append(figures, r.skipped)
		}
		fmt.Fprintf(&b, "| **%s**: %s | %s | %s | %s |\n", r.name, cell(r.about), cell(r.must), r.verdict(), cell(strings.Join(figures, "<br>")))
	}
	if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// cell is text which does not end a cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
