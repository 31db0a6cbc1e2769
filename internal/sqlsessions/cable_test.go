package sqlsessions

import (
	"testing"

	"github.com/buffkit/buffkit/internal/cable"
	"github.com/go-sql-driver/mysql"
)

// overCable lets a connection string go through a cable.
func overCable(t *testing.T, driver, dsn string) (c *cable.Cable, through string) {
	t.Helper()
	if driver != "mysql" {
		return cable.OfURL(t, dsn)
	}
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c = cable.New(t, config.Addr)
	config.Addr = c.Addr()
	return c, config.FormatDSN()
}
