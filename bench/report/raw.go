package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Run says how results were made: what is not in each of them.
type Run struct {
	Machine   string     `json:"machine"`
	Started   time.Time  `json:"started"`
	Command   string     `json:"command"`
	Note      string     `json:"note,omitempty"`
	Windows   string     `json:"windows"`
	Agents    []Agent    `json:"agents"`
	Scenarios []Scenario `json:"scenarios"`
}

// Agent and Scenario say what the names in the results stand for.
type (
	Agent struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Args    string `json:"args"`
	}
	Scenario struct {
		Name  string `json:"name"`
		About string `json:"about"`
	}
)

// Set is a run with its results.
type Set struct {
	Run
	Results []Result
}

// runFile is what a directory of raw results has beside them.
const runFile = "run.json"

// WriteRun writes how the results in dir are made, and makes the directory if need be. Where several runs fill one
// directory, agents and scenarios add up, and all of the commands stay.
func WriteRun(dir string, run Run) error {
	var old Run
	switch err := read(filepath.Join(dir, runFile), &old); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	default:
		run.Agents = merge(old.Agents, run.Agents, func(a Agent) string { return a.Name })
		run.Scenarios = merge(old.Scenarios, run.Scenarios, func(s Scenario) string { return s.Name })
		run.Started = old.Started
		if !strings.Contains(old.Command, run.Command) {
			run.Command = old.Command + "`, `" + run.Command
		} else {
			run.Command = old.Command
		}
		if run.Note == "" {
			run.Note = old.Note
		}
	}
	text, err := json.MarshalIndent(run, "", " ")
	if err != nil {
		return fmt.Errorf("write raw results: %w", err)
	}
	return write(filepath.Join(dir, runFile), text)
}

// merge returns what is in either of both, in the order of the older and with the values of the newer.
func merge[T any](older, newer []T, name func(T) string) []T {
	all := slices.Clone(older)
	for _, v := range newer {
		if i := slices.IndexFunc(all, func(o T) bool { return name(o) == name(v) }); i >= 0 {
			all[i] = v
		} else {
			all = append(all, v)
		}
	}
	return all
}

// WriteRaw writes a result into a file of dir, in place of an earlier one of the same agent in the same scenario.
func WriteRaw(dir string, r Result) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write raw results: %w", err)
	}
	return write(rawFile(dir, r.Scenario, r.Agent), append(text, '\n'))
}

// ReadRaw reads what WriteRaw wrote.
func ReadRaw(dir, scenario, agent string) (r Result, err error) {
	return r, read(rawFile(dir, scenario, agent), &r)
}

func rawFile(dir, scenario, agent string) string {
	return filepath.Join(dir, scenario+"-"+agent+".json")
}

// Load reads a directory of raw results.
func Load(dir string) (Set, error) {
	var set Set
	if err := read(filepath.Join(dir, runFile), &set.Run); err != nil {
		return set, err
	}
	for _, s := range set.Scenarios {
		for _, a := range set.Agents {
			r, err := ReadRaw(dir, s.Name, a.Name)
			if errors.Is(err, os.ErrNotExist) {
				continue // it was left out, or does not fit the agent
			}
			if err != nil {
				return set, err
			}
			set.Results = append(set.Results, r)
		}
	}
	return set, nil
}

func read(name string, v any) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read raw results: %w", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("read raw results: %s: %w", name, err)
	}
	return nil
}

// write replaces a file as a whole, so that an interruption leaves the old one or the new one.
func write(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("write raw results: %w", err)
	}
	if err := os.WriteFile(name+".new", text, 0o644); err != nil {
		return fmt.Errorf("write raw results: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("write raw results: %w", err)
	}
	return nil
}
