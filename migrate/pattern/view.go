package pattern

import (
	"slices"
	"strings"
	"time"
)

// view is what templates see: the Params, and what is made of them.
type view struct {
	Params
	Name, Type        string   // of the first column
	Rest              []Column // the others
	List              string   // a, b
	Joined            string   // a_b
	News, Olds        string   // NEW.a, NEW.b
	Index, Constraint string
	Sync, Procedure   string // names of triggers and the like
	EnumType, Quoted  string
	Set, Where        string // of a backfill
	Text              string // PostgreSQL: what is searched
	Months            []month
	Up, Down          swap
}

// swap is a table that takes another one's place.
type swap struct {
	Table   string
	Columns []Column
	Common  string // the columns that both have
	Lost    string // those that only the old one has
}

// month is a partition, without its end.
type month struct{ Suffix, From, To string }

func (p Params) view() view {
	if p.Key == "" {
		p.Key = "id"
	}
	if p.Batch <= 0 {
		p.Batch = DefaultBatch
	}
	if p.Language == "" {
		p.Language = "simple"
	}
	v := view{Params: p, EnumType: p.Enum, Months: p.months()}
	names := make([]string, len(p.Columns))
	for i, c := range p.Columns {
		names[i] = c.Name
	}
	if len(p.Columns) > 0 {
		v.Name, v.Type, v.Rest = p.Columns[0].Name, p.Columns[0].Type, p.Columns[1:]
	}
	v.List, v.Joined = strings.Join(names, ", "), strings.Join(names, "_")
	v.News, v.Olds = "NEW."+strings.Join(names, ", NEW."), "OLD."+strings.Join(names, ", OLD.")
	v.Index, v.Constraint = short(p.Table+"_"+v.Joined), short(p.Table+"_"+v.Name+"_fk")
	v.Quoted = "'" + strings.Join(p.Values, "', '") + "'"
	v.Text = "coalesce(" + strings.Join(names, ", '') || ' ' || coalesce(") + ", '')"
	v.Procedure = short("fill_" + p.Table + "_" + v.Name)
	v.Set, v.Where = v.Name+" = "+p.Set, v.Name+" IS NULL"
	if p.To != "" {
		v.Sync = short(p.Table + "_" + v.Name + "_sync")
		v.Set, v.Where = p.To+" = "+v.Name, p.To+" IS NULL AND "+v.Name+" IS NOT NULL"
	}
	common := strings.Join(p.common(), ", ")
	v.Up, v.Down = swap{p.Table, p.Columns, common, p.lost()}, swap{p.Table, p.Was, common, ""}
	return v
}

// short cuts a name that is made of others, so that an ending still fits.
func short(name string) string { return strings.TrimRight(name[:min(len(name), 58)], "_") }

// common are the columns that a table has before and after.
func (p *Params) common() (names []string) {
	for _, c := range p.Columns {
		if slices.ContainsFunc(p.Was, func(w Column) bool { return w.Name == c.Name }) {
			names = append(names, c.Name)
		}
	}
	return names
}

// lost are the columns that a rebuilt table hasn't any more.
func (p *Params) lost() string {
	var names []string
	for _, w := range p.Was {
		if !slices.ContainsFunc(p.Columns, func(c Column) bool { return c.Name == w.Name }) {
			names = append(names, w.Name)
		}
	}
	return strings.Join(names, ", ")
}

func (p *Params) months() (all []month) {
	from, err := time.Parse(monthForm, p.From)
	if err != nil {
		return nil
	}
	n := p.Months
	if n <= 0 {
		n = 3
	}
	for range n {
		to := from.AddDate(0, 1, 0)
		all = append(all, month{from.Format("2006_01"), from.Format(time.DateOnly), to.Format(time.DateOnly)})
		from = to
	}
	return all
}
