package registry

import (
	"context"
	"fmt"
	"os"
)

// Snapshot writes a copy of the registry, as it is at one moment, into a file that must
// not be there yet. Reading and writing go on meanwhile.
func (r *Registry) Snapshot(ctx context.Context, path string) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("copy registry: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("copy registry: %w", err)
	}
	// A connection of its own: those for reading must not even write to another file.
	db, err := connect(r.path, 1, "_txlock=deferred")
	if err != nil {
		return r.explain("copy registry", err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO $1`, path); err != nil {
		return r.explain("copy registry", err)
	}
	return nil
}
