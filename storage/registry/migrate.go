package registry

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// migrations are the steps from an empty database to the present tables, named
// by number: 0001_start.sql. A released step is never changed, only followed.
//
//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings a database up to date, each step in a transaction with the
// note that it was taken. Each transaction looks again at where the database
// stands: another program may be opening it too.
func migrate(ctx context.Context, db *sql.DB) error {
	steps, err := fs.Glob(migrations, "migrations/*.sql") // in order of name
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (number BIGINT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)`); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	newest := 0
	for _, step := range steps {
		digits, _, _ := strings.Cut(strings.TrimPrefix(step, "migrations/"), "_")
		number, err := strconv.Atoi(digits)
		if err != nil || number != newest+1 {
			return fmt.Errorf("migration %s: out of order", step)
		}
		newest = number
		if err := apply(ctx, db, number, step); err != nil {
			return fmt.Errorf("migration %d: %w", number, err)
		}
	}
	stands, err := migrated(ctx, db)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if stands > newest {
		return fmt.Errorf("it has migration %d, this program knows migrations up to %d: use the newer version that wrote it", stands, newest)
	}
	return nil
}

func apply(ctx context.Context, db *sql.DB, number int, step string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if stands, err := migrated(ctx, tx); err != nil || stands >= number {
		return err
	}
	statements, err := migrations.ReadFile(step)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, string(statements)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO migrations (number, applied_at) VALUES ($1, $2)`, number, micros(time.Now())); err != nil {
		return err
	}
	return tx.Commit()
}

// migrated is the last migration that a database has.
func migrated(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (number int, err error) {
	err = db.QueryRowContext(ctx, `SELECT COALESCE(MAX(number), 0) FROM migrations`).Scan(&number)
	return number, err
}
