package main

import (
	"fmt"
	"runtime"
	"strings"
)

// helpWidth is the width of the help text in columns; terminals have at least 80.
const helpWidth = 80

const helpHead = `Scraper scrapes metrics and pushes them over Prometheus remote write.

  scraper -promscrape.config=FILE -remoteWrite.url=URL   as vmagent is started
  scraper --config.file=FILE                             as Prometheus --agent is
  scraper demo                                           to see it work
  scraper queue inspect|verify DIR                       what waits in a data path

Flags of either may be mixed. Those of vmagent take one dash or two; booleans are
set by their name, or by -name=true. Those of Prometheus take two dashes, and
--no-name unsets a boolean. Flags of theirs which are not listed are accepted with
a warning if they cannot change what is scraped and delivered, else refused.

Values:  %{NAME} stands for an environment variable.
         duration: 30s, 1.5s, 1h30m; a plain number is seconds.
         size: bytes, or with KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB
         (powers of 1024).
         list: values joined by commas, or the flag given again; a value which
         holds a comma is quoted.
`

const demoHelp = `scraper demo runs the agent with a built-in exporter and itself as targets, and a
built-in receiver which keeps the last minutes in memory. It needs no file, no
server and no flag.
`

// helpText is what -help prints. Command is the subcommand it was asked of.
func helpText(command string) string {
	flags := newFlags(&Settings{}, &lists{})
	var b strings.Builder
	if command == "demo" {
		b.WriteString(demoHelp)
	} else {
		b.WriteString(helpHead)
	}
	for _, group := range helpGroups {
		head := "\n" + group + "\n"
		for _, d := range flags {
			if d.group != group || command == "demo" && !d.demo {
				continue
			}
			b.WriteString(head)
			head = ""
			writeFlagHelp(&b, d)
		}
	}
	return b.String()
}

func writeFlagHelp(b *strings.Builder, d *flagDef) {
	b.WriteString("\n  " + d.String())
	if d.arg != "" {
		b.WriteString(" " + d.arg)
	}
	if _, ok := d.value.(*list); ok {
		b.WriteString(" (list)")
	}
	def := d.def
	if def == "" {
		def = d.shown()
	}
	if def != "" && def != "false" {
		b.WriteString(" (default " + def + ")")
	}
	b.WriteString("\n")
	const indent = "        "
	line := indent
	for _, word := range strings.Fields(d.help) {
		if len(line)+len(word) > helpWidth && line != indent {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// versionText is what -version prints.
func versionText(version string) string {
	return fmt.Sprintf("scraper %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// flagsText is what /flags shows: all flags with their values, one a line, sorted by name, secrets hidden.
func flagsText(s *Settings) string {
	var b strings.Builder
	for _, f := range s.effective {
		fmt.Fprintf(&b, "%s=%q\n", f.name, f.value)
	}
	return b.String()
}
