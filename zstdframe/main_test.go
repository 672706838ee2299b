package zstdframe

import (
	"testing"

	"scraper/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
