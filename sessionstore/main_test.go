package sessionstore_test

import (
	"testing"

	"github.com/buffkit/buffkit/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
