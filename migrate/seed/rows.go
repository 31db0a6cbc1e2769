package seed

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// row is one of a data file. A value is nil, string, bool or json.Number.
type row struct {
	columns []string
	values  []any
	line    int // 0 if it isn't known
	size    int // about, in bytes
}

// rows are read one by one; io.EOF itself is behind the last one. An error around it is a file that ends too early.
type rows interface{ next() (row, error) }

// format makes rows of a text.
type format func(r *bufio.Reader, d *data) rows

// formats are by the extension of the file.
var formats = map[string]format{
	".csv":    newCSV,
	".jsonl":  func(r *bufio.Reader, d *data) rows { return &jsonLines{r: r, line: d.lines} },
	".ndjson": func(r *bufio.Reader, d *data) rows { return &jsonLines{r: r, line: d.lines} },
	".json":   func(r *bufio.Reader, _ *data) rows { return &jsonList{dec: newDecoder(r)} },
}

type csvRows struct {
	r       *csv.Reader
	null    string
	above   int
	columns []string
}

func newCSV(r *bufio.Reader, d *data) rows {
	c := &csvRows{r: csv.NewReader(r), null: d.null, above: d.lines}
	c.r.ReuseRecord = true
	return c
}

func (c *csvRows) next() (row, error) {
	if c.columns == nil {
		names, err := c.r.Read()
		if err != nil {
			return row{}, c.fault(err)
		}
		c.columns = append([]string{}, names...)
		for i, name := range c.columns {
			if name == "" {
				return row{}, fmt.Errorf("line %d: column %d has no name: the first line names the columns", c.above+1, i+1)
			}
		}
	}
	record, err := c.r.Read()
	if err != nil {
		return row{}, c.fault(err)
	}
	line, _ := c.r.FieldPos(0)
	r := row{columns: c.columns, values: make([]any, len(record)), line: c.above + line}
	for i, text := range record {
		if text != c.null {
			r.values[i] = text
		}
		r.size += len(text)
	}
	return r, nil
}

// fault puts the lines of headers to the place.
func (c *csvRows) fault(err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("line %d, column %d: %w", c.above+parse.Line, parse.Column, parse.Err)
	}
	return err
}

// jsonLines has an object a line.
type jsonLines struct {
	r    *bufio.Reader
	line int
}

func (j *jsonLines) next() (row, error) {
	for {
		text, err := j.r.ReadBytes('\n')
		if err != nil && (err != io.EOF || len(text) == 0) {
			return row{}, err
		}
		j.line++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		dec := newDecoder(bytes.NewReader(text))
		r, err := object(dec)
		if err == nil && dec.More() {
			err = errors.New("there is more than one object: write one a line")
		}
		if err != nil {
			return row{}, fmt.Errorf("line %d: %w", j.line, err)
		}
		r.line, r.size = j.line, len(text)
		return r, nil
	}
}

// jsonList is one list of objects.
type jsonList struct {
	dec   *json.Decoder
	begun bool
	n     int
}

func (j *jsonList) next() (row, error) {
	if !j.begun {
		if t, err := j.dec.Token(); err != nil || t != json.Delim('[') {
			return row{}, errors.Join(errors.New("a .json file is one list of objects, [{…}, {…}]; for an object a line name it .jsonl"), err)
		}
		j.begun = true
	}
	if !j.dec.More() {
		if _, err := j.dec.Token(); err != nil {
			return row{}, fmt.Errorf("behind object %d: %w", j.n, err)
		}
		if _, err := j.dec.Token(); err != io.EOF {
			return row{}, errors.Join(fmt.Errorf("there is more behind the list, which ends with object %d: a .json file is one list of objects", j.n), err)
		}
		return row{}, io.EOF
	}
	from := j.dec.InputOffset()
	r, err := object(j.dec)
	if j.n++; err != nil {
		return row{}, fmt.Errorf("object %d: %w", j.n, err)
	}
	r.size = int(j.dec.InputOffset() - from)
	return r, nil
}

func newDecoder(r io.Reader) *json.Decoder {
	dec := json.NewDecoder(r)
	dec.UseNumber()
	return dec
}

// object reads one, in the order of its keys. What is within a value stays JSON.
func object(dec *json.Decoder) (r row, err error) {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return r, errors.Join(errors.New("a row is an object, {\"column\": value}"), err)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return r, err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return r, err
		}
		value, err := scalar(raw)
		if err != nil {
			return r, err
		}
		r.columns, r.values = append(r.columns, name.(string)), append(r.values, value)
	}
	_, err = dec.Token()
	if err == nil && len(r.columns) == 0 {
		err = errors.New("the object has no columns")
	}
	return r, err
}

func scalar(raw json.RawMessage) (value any, err error) {
	if raw[0] == '{' || raw[0] == '[' {
		var b bytes.Buffer
		err := json.Compact(&b, raw)
		return b.String(), err
	}
	dec := newDecoder(bytes.NewReader(raw))
	err = dec.Decode(&value)
	return value, err
}
