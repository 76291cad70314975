// Submits a job, waits for its end and reads its bill, as whoever `suan` would be here.
//
// Prints one line: job, state, account, what was charged in 10^-6 of the currency, currency.
package main

import (
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	accounting "suanmesh/accounting/v1"
	scheduler "suanmesh/scheduler/v1"
)

// A way to talk to one mesh: what the file of contexts says of it.
type meshContext struct {
	Gateway, Node, Account, Ca, Cert, Key string
}

type contextFile struct {
	Current  string
	Contexts map[string]meshContext
}

// The files of contexts that `suan` reads, nearest first; SUANMESH_CONFIG names the only one.
func contextFiles() []string {
	if only := os.Getenv("SUANMESH_CONFIG"); only != "" {
		return []string{only}
	}
	home := os.Getenv("XDG_CONFIG_HOME")
	if home == "" {
		home = filepath.Join(os.Getenv("HOME"), ".config")
	}
	var found []string
	for _, file := range []string{
		"suanmesh.toml", "build/dev/config.toml",
		filepath.Join(home, "suanmesh/config.toml"), "/etc/xdg/suanmesh/config.toml",
	} {
		if _, err := os.Stat(file); err == nil {
			found = append(found, file)
		}
	}
	return found
}

// The context that SUANMESH_CONTEXT names, or the current one of the nearest file.
func currentContext() (meshContext, error) {
	wanted := os.Getenv("SUANMESH_CONTEXT")
	chosen := map[string]meshContext{}
	for _, path := range contextFiles() {
		var file contextFile
		if _, err := toml.DecodeFile(path, &file); err != nil {
			return meshContext{}, err
		}
		if wanted == "" {
			wanted = file.Current
		}
		for name, said := range file.Contexts {
			if _, nearer := chosen[name]; nearer {
				continue
			}
			for _, field := range []*string{&said.Ca, &said.Cert, &said.Key} {
				if !filepath.IsAbs(*field) {
					*field = filepath.Join(filepath.Dir(path), *field)
				}
			}
			chosen[name] = said
		}
	}
	if said, there := chosen[wanted]; there {
		return said, nil
	}
	return meshContext{}, fmt.Errorf("there is no context %q; start a mesh with `suan dev`, or set SUANMESH_CONFIG", wanted)
}

// Writes and reads messages. grpc-go before 1.37 has one of its own that knows no messages of today's protobuf.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(message interface{}) ([]byte, error) {
	return proto.Marshal(message.(proto.Message))
}

func (codec) Unmarshal(data []byte, message interface{}) error {
	return proto.Unmarshal(data, message.(proto.Message))
}

// The gateways, whose certificates must be those of the node's gateway whatever their addresses are called. Calls go to
// those that answer, in turn: `pick_first` would give all of them together the time that one may take.
func connect(said meshContext) (*grpc.ClientConn, error) {
	pair, err := tls.LoadX509KeyPair(said.Cert, said.Key)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(said.Ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New(said.Ca + " holds no certificate")
	}
	mutual := credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair},
		RootCAs:      roots,
		ServerName:   "gateway." + said.Node + ".suanmesh",
	})
	gateways := manual.NewBuilderWithScheme("gateways")
	var addresses []resolver.Address
	for _, gateway := range strings.Split(said.Gateway, ",") {
		addresses = append(addresses, resolver.Address{Addr: strings.TrimSpace(gateway)})
	}
	gateways.InitialState(resolver.State{Addresses: addresses})
	return grpc.Dial(
		"gateways:///"+said.Node,
		grpc.WithResolvers(gateways),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.5, MaxDelay: time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 5 * time.Second}), // one that has frozen is noticed
		grpc.WithTransportCredentials(mutual),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{})),
	)
}

// Makes a call, and again while nobody answers it, until `limit` from now; then the answer is DEADLINE_EXCEEDED.
//
// For calls that do nothing more the second time: what reads, and what has a request id.
func insist(ctx context.Context, limit time.Duration, call func(context.Context) error) error {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := call(ctx)
		if status.Code(err) != codes.Unavailable {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause/2 + time.Duration(rand.Int63n(int64(pause/2)))):
		}
	}
}

func min(one, other time.Duration) time.Duration {
	if one < other {
		return one
	}
	return other
}

func submit(ctx context.Context, jobs scheduler.SchedulerServiceClient, account string) (*scheduler.Job, error) {
	id := make([]byte, 16) // makes a repeated call do nothing more
	if _, err := crand.Read(id); err != nil {
		return nil, err
	}
	request := &scheduler.SubmitJobsRequest{
		RequestId: hex.EncodeToString(id),
		Items: []*scheduler.SubmitJob{{Job: &scheduler.Job{
			Account:      account,
			DisplayName:  "from Go",
			MaxDurationS: 60,
			Ask:          &scheduler.Ask{CpuMilli: 100, MemoryBytes: 64 << 20},
			Package: &scheduler.Package{Variants: []*scheduler.Variant{{
				Runtime: "python3",
				Command: []string{"python3", "-c", "print(6 * 7)"},
			}}},
		}}},
	}
	var response *scheduler.SubmitJobsResponse
	err := insist(ctx, 30*time.Second, func(ctx context.Context) (err error) {
		response, err = jobs.SubmitJobs(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	if refused := response.Results[0].GetError(); refused != nil {
		return nil, errors.New(refused.Message)
	}
	return response.Results[0].GetJob(), nil
}

func waitFor(ctx context.Context, jobs scheduler.SchedulerServiceClient, name string) (*scheduler.Job, error) {
	seen := &scheduler.Job{}
	err := insist(ctx, 2*time.Minute, func(ctx context.Context) error { // a stream that breaks is opened anew, and tells all again
		stream, err := jobs.WatchJob(ctx, &scheduler.WatchJobRequest{Name: name})
		for err == nil {
			var job *scheduler.Job
			if job, err = stream.Recv(); err == nil {
				seen = job
			}
		}
		if errors.Is(err, io.EOF) && seen.EndTime != nil { // ends with the job
			return nil
		}
		return err
	})
	return seen, err
}

// The bill of a job, once nothing is held for it any more.
func billOf(ctx context.Context, money accounting.AccountingServiceClient, job *scheduler.Job) (*accounting.Bill, error) {
	for {
		var bill *accounting.Bill
		err := insist(ctx, 30*time.Second, func(ctx context.Context) (err error) {
			bill, err = money.GetBill(ctx, &accounting.GetBillRequest{Account: job.Account, Job: job.Name})
			return err
		})
		if err != nil || bill.HeldMicros == 0 && len(bill.Charges) > 0 {
			return bill, err
		}
		time.Sleep(250 * time.Millisecond)
	}
}

func run() error {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	said, err := currentContext()
	if err != nil {
		return err
	}
	connection, err := connect(said)
	if err != nil {
		return err
	}
	defer connection.Close()

	jobs := scheduler.NewSchedulerServiceClient(connection)
	submitted, err := submit(ctx, jobs, said.Account)
	if err != nil {
		return err
	}
	ended, err := waitFor(ctx, jobs, submitted.Name)
	if err != nil {
		return err
	}
	bill, err := billOf(ctx, accounting.NewAccountingServiceClient(connection), ended)
	if err != nil {
		return err
	}
	fmt.Println(ended.Name, ended.State, bill.Account, bill.TotalMicros, bill.Currency)
	if ended.State != scheduler.Job_STATE_DONE {
		return errors.New("the job did not end well")
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
