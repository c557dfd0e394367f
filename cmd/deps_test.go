package cmd

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sealprint/sealprint"

// mayImport is the diagram of ARCHITECTURE.md: which packages of ours a package
// may import. cmd wires, and may import all.
var mayImport = map[string][]string{
	"fingerprint":                 {},
	"fingerprint/fingerprinttest": {},
	"fingerprint/match":           {"fingerprint", "fingerprint/page", "fingerprint/pdq", "storage"},
	"fingerprint/page":            {},
	"fingerprint/page/pagetest":   {"fingerprint/fingerprinttest", "fingerprint/page"},
	"fingerprint/pdq":             {"fingerprint/page"},
	"storage":                     {"fingerprint"},
	"storage/servertest":          {},
	"storage/storagetest":         {"fingerprint", "storage"},
	"storage/audit":               {"fingerprint", "storage"},
	"storage/index":               {"fingerprint", "storage"},
	"storage/registry":            {"fingerprint", "fingerprint/pdq", "storage"},
	"storage/backup":              {"fingerprint", "storage", "storage/audit", "storage/index", "storage/registry"},
	"ingest":                      {"fingerprint", "fingerprint/page", "fingerprint/pdq", "storage"},
	"ingest/bundle":               {"fingerprint", "fingerprint/page", "fingerprint/pdq", "ingest", "storage"},
	"ingest/source":               {"ingest"},
	"ingest/source/sourcetest":    {"storage/servertest"},
	"ingest/extract":              {"fingerprint", "fingerprint/page", "ingest"},
	"ingest/extract/pdftest":      {},
	"api":                         {"api/auth", "api/evidence", "api/intake", "api/webhook", "fingerprint", "fingerprint/match", "fingerprint/page", "storage", "storage/audit"},
	"api/auth":                    {"storage"},
	"api/auth/authtest":           {},
	"api/client":                  {},
	"api/console":                 {"api/client"},
	"api/evidence":                {"fingerprint"},
	"api/intake":                  {"fingerprint", "fingerprint/match", "storage"},
	"api/jetstream":               {},
	"api/jetstream/natstest":      {"storage/servertest"},
	"api/webhook":                 {"storage"},
	"api/webhook/mailtest":        {"storage/servertest"},
}

// modules are the libraries that the product is built of, each where it may be
// imported.
var modules = map[string][]string{
	"code.dny.dev/ssrf":                                        {"api/webhook"},                                 // addresses that are not public
	"filippo.io/age":                                           {"ingest/bundle"},                               // encryption of files
	"github.com/cenkalti/backoff/v5":                           {"ingest", "api/client", "cmd/sealprint"},       // retries with pauses
	"github.com/cespare/xxhash/v2":                             {"fingerprint", "storage/index"},                // grams, checksums
	"github.com/coreos/go-oidc/v3":                             {"api/auth"},                                    // what tokens claim
	"github.com/dchest/siphash":                                {"fingerprint"},                                 // the keyed function
	"github.com/dustin/go-humanize":                            {"cmd/sealprint"},                               // sizes for people
	"github.com/gabriel-vasile/mimetype":                       {"ingest/extract"},                              // types by content
	"github.com/getkin/kin-openapi":                            {"api"},                                         // requests against openapi.yaml
	"github.com/go-jose/go-jose/v4":                            {"api/auth", "api/auth/authtest"},               // signatures of tokens
	"github.com/jhillyerd/enmime/v2":                           {"ingest/extract"},                              // mail
	"github.com/klippa-app/go-pdfium":                          {"ingest/extract"},                              // PDFium, in WebAssembly
	"github.com/labstack/echo/v4":                              {"api"},                                         // HTTP
	"github.com/ledongthuc/pdf":                                {"ingest/extract"},                              // PDF
	"github.com/minio/minio-go/v7":                             {"ingest/source", "ingest/source/sourcetest"},   // S3
	"github.com/nats-io/nats.go":                               {"api/jetstream", "api/jetstream/natstest"},     // JetStream
	"github.com/oapi-codegen/runtime":                          {"api", "api/client"},                           // what generated code needs
	"github.com/prometheus/client_golang":                      {"api"},                                         // metrics
	"github.com/schollz/progressbar/v3":                        {"cmd/sealprint"},                               // the bar
	"github.com/spf13/cobra":                                   {"cmd/sealprint"},                               // the command line
	"github.com/spf13/pflag":                                   {"cmd/sealprint"},                               // its flags
	"github.com/standard-webhooks/standard-webhooks/libraries": {"api/webhook", "api/client"},                   // signatures
	"github.com/richardlehane/mscfb":                           {"ingest/extract"},                              // OLE2
	"github.com/tetratelabs/wazero":                            {"ingest/extract"},                              // the machine of PDFium
	"github.com/wneessen/go-mail":                              {"api/webhook"},                                 // mail, SMTP
	"github.com/xuri/excelize/v2":                              {"ingest/extract"},                              // spreadsheets
	"golang.org/x/oauth2":                                      {"api/console"},                                 // logging in at a provider
	"go.yaml.in/yaml/v3":                                       {"cmd/sealprint"},                               // the settings
	"golang.org/x/image":                                       {"ingest/extract", "fingerprint/page/pagetest"}, // TIFF, WebP, BMP; a font
	"golang.org/x/net":                                         {"ingest/extract"},                              // HTML
	"golang.org/x/sync":                                        {"api", "ingest"},                               // weighted semaphores
	"golang.org/x/sys":                                         {"ingest", "ingest/extract", "storage/index"},   // memory files, limits, mmap
	"golang.org/x/term":                                        {"cmd/sealprint"},                               // is it a terminal
	"golang.org/x/text":                                        {"fingerprint", "ingest/extract"},               // Unicode, legacy encodings
	"golang.org/x/time":                                        {"storage/index", "api"},                        // the pace of merges and look-ups
	"modernc.org/sqlite":                                       {"storage/registry"},                            // SQL
}

// TestImports holds the import directions and the list of libraries.
func TestImports(t *testing.T) {
	list := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"/...")
	list.Env = append(os.Environ(), "GOWORK=off")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	used := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		from := strings.TrimPrefix(strings.TrimPrefix(words[0], module), "/")
		for _, path := range words[1:] {
			first, _, _ := strings.Cut(path, "/")
			switch ours, ok := strings.CutPrefix(path, module+"/"); {
			case ok:
				if strings.HasPrefix(from, "cmd") {
					continue
				}
				if !slices.Contains(mayImport[from], ours) {
					t.Errorf("%s imports %s", from, ours)
				}
			case strings.Contains(first, "."):
				library := libraryOf(path)
				used[library] = true
				if !slices.Contains(modules[library], from) {
					t.Errorf("%s imports %s", from, path)
				}
			}
		}
		if _, ok := mayImport[from]; !ok && !strings.HasPrefix(from, "cmd") {
			t.Errorf("%s is not in the diagram", from)
		}
	}
	for library := range modules {
		if !used[library] {
			t.Errorf("%s is allowed but not used", library)
		}
	}
}

// libraryOf is the module of an import path, or the path itself if it is of none
// that we know.
func libraryOf(path string) string {
	for library := range modules {
		if path == library || strings.HasPrefix(path, library+"/") {
			return library
		}
	}
	return path
}
