package lint

import (
	"io"
	"net/url"
	"path/filepath"
	"strings"
)

// WriteSARIF writes findings in the Static Analysis Results Interchange Format, version 2.1.0, which GitHub, GitLab and editors read.
// Files are named as Positions name them, relative to where the reader looks for them.
func WriteSARIF(w io.Writer, findings []Finding) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "buffkit", InformationURI: home, Rules: []sarifRule{}}
	places := map[string]int{}
	for i := range rules {
		r := &rules[i].Rule
		places[r.ID] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			ID: r.ID, Short: sarifText{r.Title}, Full: sarifText{r.Why}, HelpURI: home + "/blob/main/docs/lint.md#" + r.ID,
			Help: sarifHelp{r.Why + "\n\n" + r.Safe, r.Why + "\n\n```sql\n" + r.Safe + "\n```"}, Default: sarifLevel{level(r.Severity)},
			Properties: sarifProperties{[]string{string(r.Category)}},
		})
	}
	for i := range findings {
		run.Results = append(run.Results, sarifOf(&findings[i], places))
	}
	return writeJSON(w, sarifLog{sarifSchema, "2.1.0", []sarifRun{run}})
}

const (
	home        = "https://github.com/buffkit/buffkit"
	sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool struct {
			Driver sarifDriver `json:"driver"`
		} `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID         string          `json:"id"`
		Short      sarifText       `json:"shortDescription"`
		Full       sarifText       `json:"fullDescription"`
		HelpURI    string          `json:"helpUri"`
		Help       sarifHelp       `json:"help"`
		Default    sarifLevel      `json:"defaultConfiguration"`
		Properties sarifProperties `json:"properties"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifHelp struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifProperties struct {
		Tags []string `json:"tags"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int        `json:"startLine"`
		StartColumn int        `json:"startColumn"`
		Snippet     *sarifText `json:"snippet,omitempty"`
	}
)

func sarifOf(f *Finding, places map[string]int) sarifResult {
	region := sarifRegion{StartLine: f.Pos.Line, StartColumn: f.Pos.Column}
	if f.Statement != "" {
		region.Snippet = &sarifText{f.Statement}
	}
	file := &url.URL{Path: strings.TrimPrefix(filepath.ToSlash(f.Pos.File), "./")}
	return sarifResult{
		RuleID: f.Rule, RuleIndex: places[f.Rule], Level: level(f.Severity), Message: sarifText{f.Message + "\nSafe:\n" + f.Fix},
		Locations: []sarifLocation{{sarifPhysical{sarifArtifact{file.String()}, region}}},
	}
}

// level is what SARIF calls a severity.
func level(s Severity) string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	case Info:
		return "note"
	}
	return "none"
}
