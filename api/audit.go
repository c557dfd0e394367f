package api

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/storage/audit"
)

// Audit is the log of who did what.
type Audit interface {
	Append(ctx context.Context, records ...audit.Record) error
	Read(ctx context.Context, filter audit.Filter, after int64, limit int) ([]audit.Record, error)
	Verify() (audit.Report, error)
	Head() audit.Checkpoint
}

// errAudit is a log that cannot be written: what cannot be recorded is not done.
var errAudit = errors.New("the audit log cannot be written")

// note is what is recorded of a request beside who asked for what. Handlers fill it in.
type note struct {
	mu      sync.Mutex
	targets []string
	size    int64
	count   int
	outcome string
}

type noteKey struct{}

// noteOf is the note of the request that a context belongs to; one that nobody reads if it
// has none.
func noteOf(ctx context.Context) *note {
	if n, ok := ctx.Value(noteKey{}).(*note); ok {
		return n
	}
	return &note{}
}

// about adds what was acted on or answered.
func (n *note) about(ids ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		if id != "" && !slices.Contains(n.targets, id) {
			n.targets = append(n.targets, id)
		}
	}
}

// of says how much was submitted, in bytes, and what came of it.
func (n *note) of(size int, outcome string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.size, n.outcome = int64(size), outcome
}

// The values of x-audit in the specification. Changes are recorded before they are made,
// too: if the record of what came of one cannot be written, that it was begun stands there.
const auditedChange = "change"

// audited records what the specification says has to be. The record is on disk before the
// answer goes out.
func (s *Server) audited(next StrictHandlerFunc, _ string) StrictHandlerFunc {
	return func(c echo.Context, request any) (any, error) {
		operation, _ := s.operation(c)
		kind, _ := operation.Extensions["x-audit"].(string)
		if kind == "" {
			return next(c, request)
		}
		n := &note{size: max(c.Request().ContentLength, 0)}
		for i, value := range c.ParamValues() {
			if c.ParamNames()[i] != tokenParameter && idPattern.MatchString(value) {
				n.targets = append(n.targets, value)
			}
		}
		ctx := context.WithValue(c.Request().Context(), noteKey{}, n)
		c.SetRequest(c.Request().WithContext(ctx))
		if kind == auditedChange {
			if err := s.record(ctx, operation.OperationID, &note{targets: n.targets, size: n.size, outcome: "begun"}); err != nil {
				return nil, err
			}
		}
		response, err := next(c, request)
		if err != nil {
			n.outcome = toProblem(err).Type
		}
		if err := s.record(ctx, operation.OperationID, n); err != nil {
			return nil, err
		}
		return response, err
	}
}

// idPattern is what ids and numbers of pages look like.
var idPattern = regexp.MustCompile(`^[a-z0-9_]{1,80}$`)

const (
	maxPurpose = 200 // code points
	// maxNoted is how many ids one record names; the count says how many there were.
	maxNoted = 50
	// maxReach bounds the departments of one record, in bytes: less than a field may take.
	maxReach = 1000
)

// record writes a record of the caller's.
func (s *Server) record(ctx context.Context, action string, n *note) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := auth.From(ctx)
	r := audit.Record{
		Principal: p.ID, Role: rolesIn(p), Department: reachOf(p), Action: action, Targets: n.targets[:min(len(n.targets), maxNoted)],
		Size: n.size, Count: n.count, Outcome: n.outcome,
	}
	if r.Outcome == "" {
		r.Outcome = "ok"
	}
	if len(n.targets) > maxNoted {
		r.Count = len(n.targets)
	}
	if request, err := body(ctx); err == nil {
		r.Purpose = purpose(request.Header.Get("X-Purpose"))
	}
	r.Request, _ = ctx.Value(requestIDKey{}).(string)
	if err := s.Audit.Append(ctx, r); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.Log.Error("the audit log cannot be written", "error", err)
		return fmt.Errorf("%w: %w", errAudit, err)
	}
	return nil
}

// rolesIn are the roles that a principal acts in, as they are recorded.
func rolesIn(p auth.Principal) string {
	var s []string
	for _, r := range p.Roles() {
		s = append(s, string(r))
	}
	return strings.Join(s, ",")
}

// reachOf is a principal's branches, as they are recorded: empty for all departments. What
// is too long ends in an ellipsis, which no department covers.
func reachOf(p auth.Principal) string {
	s := strings.Join(p.Scope().Departments(), ",")
	if len(s) > maxReach {
		s = s[:strings.LastIndexByte(s[:maxReach], ',')+1] + "…"
	}
	return s
}

// purpose is what a caller says a request is for, as far as it is kept.
func purpose(said string) string {
	said = strings.ToValidUTF8(said, "\uFFFD")
	if utf8.RuneCountInString(said) > maxPurpose {
		said = string([]rune(said)[:maxPurpose])
	}
	return said
}

// ListAudit implements GET /v1/audit.
func (s *Server) ListAudit(ctx context.Context, request ListAuditRequestObject) (ListAuditResponseObject, error) {
	p := request.Params
	filter := audit.Filter{Principal: p.Principal, Action: p.Action, Target: p.Target, From: p.From, Until: p.Until}
	if reach := scope(ctx); !reach.All() {
		filter.Covers = func(branches string) bool {
			for branch := range strings.SplitSeq(branches, ",") {
				if !reach.Covers(branch) {
					return false
				}
			}
			return true
		}
	}
	after := int64(0)
	if p.Cursor != "" {
		var err error
		if after, err = strconv.ParseInt(p.Cursor, 36, 64); err != nil || after < 1 {
			return nil, fieldError("cursor", "was not given by this list")
		}
	}
	most := limit(p.Limit)
	records, err := s.Audit.Read(ctx, filter, after, most)
	if err != nil {
		return nil, err
	}
	list := AuditList{Items: make([]AuditRecord, 0, len(records))}
	for _, r := range records {
		list.Items = append(list.Items, AuditRecord{
			Sequence: r.Sequence, At: r.Time, Principal: r.Principal, Role: r.Role, Department: r.Department, Action: r.Action, Purpose: r.Purpose,
			RequestID: r.Request, Targets: r.Targets, Size: r.Size, Count: r.Count, Outcome: r.Outcome,
		})
	}
	if len(records) == most {
		list.NextCursor = strconv.FormatInt(records[most-1].Sequence, 36)
	}
	return ListAudit200JSONResponse(list), nil
}

// VerifyAudit implements POST /v1/audit/verify.
func (s *Server) VerifyAudit(ctx context.Context, _ VerifyAuditRequestObject) (VerifyAuditResponseObject, error) {
	if err := operator(ctx); err != nil {
		return nil, err
	}
	report, err := s.Audit.Verify()
	if err != nil {
		return nil, err
	}
	answer := AuditReport{Records: report.Records, Checkpoint: report.Head.String(), Problems: make([]string, 0, len(report.Problems))}
	for _, p := range report.Problems {
		answer.Problems = append(answer.Problems, p.String())
	}
	return VerifyAudit200JSONResponse(answer), nil
}
