package lexer_test

import (
	"fmt"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

func ExampleSplit() {
	file := strings.NewReader(`-- counts rows
CREATE TRIGGER counted AFTER INSERT ON a BEGIN
  UPDATE n SET n = n + 1;
END;
INSERT INTO a VALUES ('one; two');
`)
	for statement, err := range lexer.Split(file, dialect.SQLite, &lexer.Options{File: "001_counted.up.sql"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v %.25q…\n", statement.Pos, statement.SQL)
	}
	// Output:
	// 001_counted.up.sql:2:1 "-- counts rows\nCREATE TRI"…
	// 001_counted.up.sql:5:1 "INSERT INTO a VALUES ('on"…
}

func ExampleSplit_fault() {
	file := strings.NewReader("CREATE TABLE a (b text);\nINSERT INTO a VALUES ('one);\n")
	for _, err := range lexer.Split(file, dialect.Postgres, &lexer.Options{File: "001_a.up.sql"}) {
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// 001_a.up.sql:2:23: this string is never closed
	//     INSERT INTO a VALUES ('one);
	//                           ^
	// close it with '; one within it is written twice, ''
}

func ExampleTokens() {
	for token := range lexer.Tokens("SELECT $$a;b$$ -- c", dialect.Postgres, nil) {
		if token.Kind != lexer.Space {
			fmt.Printf("%v %v %q\n", token.Pos, token.Kind, token.Text)
		}
	}
	// Output:
	// 1:1 Word "SELECT"
	// 1:8 DollarString "$$a;b$$"
	// 1:16 LineComment "-- c"
}
