package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Record is one measurement of one server.
type Record struct {
	Server  string          `json:"server"`
	Round   int             `json:"round"`
	Point   float64         `json:"point,omitempty"` // of a sweep
	Metrics Metrics         `json:"metrics,omitempty"`
	Text    string          `json:"text,omitempty"` // what isn't figures
	Note    string          `json:"note,omitempty"` // why there are none
	Others  float64         `json:"others"`         // the part of all processors that other programs took meanwhile
	At      time.Time       `json:"at"`
	Command string          `json:"command"`
	Params  json.RawMessage `json:"params"`
	Env     Env             `json:"env"`
}

// Metrics are figures by name, in bytes, seconds and pieces.
type Metrics map[string]float64

// Set is what a file holds: all records of a scenario, of one Env and one set of parameters.
type Set struct {
	Scenario string   `json:"scenario"`
	Records  []Record `json:"records"`
}

// ErrMixed is returned for records that can't be compared.
var ErrMixed = errors.New("figures of different machines, commits or parameters don't belong into one table")

// Check returns ErrMixed, and says what differs.
func (s Set) Check() error {
	for _, r := range s.Records[min(1, len(s.Records)):] {
		first := s.Records[0]
		if r.Env != first.Env {
			return fmt.Errorf("%s: %w: %v; and %v", s.Scenario, ErrMixed, first.Env, r.Env)
		}
		if string(r.Params) != string(first.Params) {
			return fmt.Errorf("%s: %w: %s; and %s", s.Scenario, ErrMixed, first.Params, r.Params)
		}
	}
	return nil
}

// Fits tells whether a record of this Env and these parameters can be added.
func (s Set) Fits(env Env, params json.RawMessage) bool {
	return len(s.Records) == 0 || s.Records[0].Env == env && string(s.Records[0].Params) == string(params)
}

// Find returns the record of a measurement.
func (s Set) Find(server string, round int, point float64) (Record, bool) {
	i := slices.IndexFunc(s.Records, func(r Record) bool { return r.Server == server && r.Round == round && r.Point == point })
	if i < 0 {
		return Record{}, false
	}
	return s.Records[i], true
}

// Put adds a record, instead of the one of the same measurement if there is one.
func (s *Set) Put(r Record) {
	s.Records = slices.DeleteFunc(s.Records, func(old Record) bool {
		return old.Server == r.Server && old.Round == r.Round && old.Point == r.Point
	})
	s.Records = append(s.Records, r)
}

func fileOf(folder, scenario string) string {
	return filepath.Join(folder, "results", scenario+".json")
}

// Load reads a scenario's records from the folder results below folder. No file is an empty set.
func Load(folder, scenario string) (Set, error) {
	s := Set{Scenario: scenario}
	text, err := os.ReadFile(fileOf(folder, scenario))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: %w", fileOf(folder, scenario), err)
	}
	for i := range s.Records { // the file is indented
		if s.Records[i].Params, err = compact(s.Records[i].Params); err != nil {
			return s, err
		}
	}
	return s, s.Check()
}

func compact(text json.RawMessage) (json.RawMessage, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// Params returns the text by which parameters are compared.
func Params(params any) (json.RawMessage, error) {
	text, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	return compact(text)
}

// Save writes the file anew; an interrupt leaves the old one.
func (s Set) Save(folder string) error {
	if err := s.Check(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return WriteFile(fileOf(folder, s.Scenario), append(text, '\n'))
}

// WriteFile replaces a file, and makes its folder.
func WriteFile(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// Of returns a metric of a server at a point, one value a round.
func (s Set) Of(server string, point float64, metric string) (values []float64) {
	for _, r := range s.Records {
		if v, ok := r.Metrics[metric]; ok && r.Server == server && r.Point == point {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return values
}

// Median returns the middle of sorted values.
func Median(values []float64) float64 {
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

// Points returns those that there are records of, ascending.
func (s Set) Points() (points []float64) {
	for _, r := range s.Records {
		if !slices.Contains(points, r.Point) {
			points = append(points, r.Point)
		}
	}
	slices.Sort(points)
	return points
}

// Servers returns those that there are records of, in the order of all.
func (s Set) Servers(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return !slices.ContainsFunc(s.Records, func(r Record) bool { return r.Server == name })
	})
}

func (s Set) has(server string, point float64) bool {
	return slices.ContainsFunc(s.Records, func(r Record) bool { return r.Server == server && r.Point == point })
}

// Note returns why a server has no figures at a point.
func (s Set) Note(server string, point float64) (note string) {
	for _, r := range s.Records {
		if r.Server == server && r.Point == point {
			if r.Note == "" {
				return ""
			}
			note = r.Note
		}
	}
	return note
}
