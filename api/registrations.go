package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/storage"
)

// ListRegistrations implements GET /v1/registrations.
func (s *Server) ListRegistrations(ctx context.Context, request ListRegistrationsRequestObject) (ListRegistrationsResponseObject, error) {
	jobs, next, err := s.Registry.Jobs(ctx, scope(ctx), false, request.Params.Cursor, limit(request.Params.Limit))
	if err != nil {
		return nil, listError(request.Params.Cursor, err)
	}
	list := RegistrationList{Items: make([]Registration, 0, len(jobs)), NextCursor: next}
	for _, j := range jobs {
		list.Items = append(list.Items, toRegistration(j))
	}
	return ListRegistrations200JSONResponse(list), nil
}

// StartRegistration implements POST /v1/registrations. A source belongs to the
// deployment: to register it under a department makes its texts readable there,
// so this is for keys that reach all departments.
func (s *Server) StartRegistration(ctx context.Context, request StartRegistrationRequestObject) (StartRegistrationResponseObject, error) {
	if !scope(ctx).All() {
		return nil, auth.ErrForbidden
	}
	b := request.Body
	switch rekey := storage.JobKind(b.Kind) == storage.JobRekey; {
	case !rekey && b.Source == "":
		return nil, fieldError("/source", "is required")
	case rekey && b.Source+b.Prefix != "":
		return nil, fieldError("/source", "is not for the kind rekey, which goes through the archive and all sources")
	}
	job, started, err := s.Ingest.StartJob(ctx, JobRequest{
		Source: b.Source, Prefix: b.Prefix, Kind: storage.JobKind(b.Kind), Department: b.Department, Classification: b.Classification, Collection: b.Collection, Again: b.Again,
	})
	if err != nil {
		return nil, err
	}
	noteOf(ctx).about(string(job.ID))
	if !started {
		return StartRegistration200JSONResponse(toRegistration(job)), nil
	}
	return StartRegistration202JSONResponse{
		Body:    toRegistration(job),
		Headers: StartRegistration202ResponseHeaders{Location: "/v1/registrations/" + string(job.ID)},
	}, nil
}

// GetRegistration implements GET /v1/registrations/{id}.
func (s *Server) GetRegistration(ctx context.Context, request GetRegistrationRequestObject) (GetRegistrationResponseObject, error) {
	job, err := s.Registry.Job(ctx, scope(ctx), storage.JobID(request.ID))
	if err != nil {
		return nil, err
	}
	return GetRegistration200JSONResponse(toRegistration(job)), nil
}

// CancelRegistration implements DELETE /v1/registrations/{id}.
func (s *Server) CancelRegistration(ctx context.Context, request CancelRegistrationRequestObject) (CancelRegistrationResponseObject, error) {
	id := storage.JobID(request.ID)
	if _, err := s.Registry.Job(ctx, scope(ctx), id); err != nil {
		return nil, err
	}
	if err := s.Ingest.CancelJob(ctx, id); err != nil {
		return nil, err
	}
	job, err := s.Registry.Job(ctx, scope(ctx), id)
	if err != nil {
		return nil, err
	}
	return CancelRegistration200JSONResponse(toRegistration(job)), nil
}

// How an event stream follows a job.
const (
	eventPoll      = 200 * time.Millisecond // how soon an item is seen
	eventProgress  = time.Second
	eventHeartbeat = 15 * time.Second // keeps proxies from closing a quiet stream
	eventPage      = 500              // items read at a time
)

// WatchRegistration implements GET /v1/registrations/{id}/events.
func (s *Server) WatchRegistration(ctx context.Context, request WatchRegistrationRequestObject) (WatchRegistrationResponseObject, error) {
	id := storage.JobID(request.ID)
	if _, err := s.Registry.Job(ctx, scope(ctx), id); err != nil {
		return nil, err
	}
	after := int64(0)
	if last := request.Params.LastEventID; last != "" {
		var err error
		if after, err = strconv.ParseInt(last, 10, 64); err != nil {
			return nil, fieldError("Last-Event-ID", "must be the id of an item event")
		}
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(s.follow(ctx, w, id, after)) }()
	return WatchRegistration200TextEventStreamResponse{Body: r}, nil
}

// follow writes the events of a job until it ends.
func (s *Server) follow(ctx context.Context, w io.Writer, id storage.JobID, after int64) error {
	poll := time.NewTicker(eventPoll)
	defer poll.Stop()
	var progress, written time.Time // when they were sent
	var told time.Time              // the state of the job that was sent
	for {
		// The job is read before its items, so that the end comes after the last item.
		job, err := s.Registry.Job(ctx, scope(ctx), id)
		if err != nil {
			return err
		}
		for {
			items, err := s.Registry.Items(ctx, id, after, eventPage)
			if err != nil {
				return err
			}
			for _, item := range items {
				after = item.Sequence
				if err := writeEvent(w, "item", strconv.FormatInt(after, 10), toItem(item)); err != nil {
					return err
				}
				written = time.Now()
			}
			if len(items) < eventPage {
				break
			}
		}
		if job.State != storage.JobRunning {
			return writeEvent(w, "end", "", toRegistration(job))
		}
		switch now := time.Now(); {
		case now.Sub(progress) >= eventProgress && job.UpdatedAt.After(told):
			progress, written, told = now, now, job.UpdatedAt
			if err := writeEvent(w, "progress", "", toRegistration(job)); err != nil {
				return err
			}
		case now.Sub(written) >= eventHeartbeat:
			written = now
			if _, err := io.WriteString(w, ": still running\n\n"); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing.Done():
			return nil
		case <-poll.C:
		}
	}
}

func writeEvent(w io.Writer, event, id string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if id != "" {
		fmt.Fprintf(&b, "id: %s\n", id)
	}
	fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", event, body)
	_, err = w.Write(b.Bytes())
	return err
}

func toItem(i storage.Item) RegistrationItem {
	return RegistrationItem{
		Source: i.Source, DocumentID: string(i.Document), Outcome: Outcome(i.Outcome), Status: Status(i.Status),
		Reason: i.Reason, Pages: i.Pages, Characters: i.Characters,
	}
}

func toRegistration(j storage.Job) Registration {
	r := Registration{
		ID: string(j.ID), Kind: RegistrationKind(j.Kind), Scheduled: j.Scheduled, Source: j.Source, Prefix: j.Prefix, State: RegistrationState(j.State), Error: j.Error,
		Listed: j.Listed, Bytes: j.Bytes, Expected: j.Expected, ExpectedBytes: j.ExpectedBytes,
		CreatedAt: j.CreatedAt, UpdatedAt: j.UpdatedAt, EndedAt: j.EndedAt,
		Outcomes: toOutcomes(j.Outcomes),
	}
	switch {
	case j.State == storage.JobRunning:
		r.ObjectsPerSecond = j.Rate
		if j.Rate > 0 && j.Expected > j.Listed {
			r.SecondsLeft = float64(j.Expected-j.Listed) / j.Rate
		}
	case j.Kind == storage.JobEstimate:
		r.Estimate = Estimate{Objects: j.Estimate.Objects, Bytes: j.Estimate.Bytes, IndexBytes: j.Estimate.IndexBytes, Seconds: j.Estimate.Seconds}
	}
	return r
}

func toOutcomes(n map[string]int) Outcomes {
	return Outcomes{
		Registered: n["registered"], Unchanged: n["unchanged"], Updated: n["updated"], Duplicate: n["duplicate"], Failed: n["failed"], Skipped: n["skipped"],
	}
}
