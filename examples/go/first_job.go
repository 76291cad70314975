// Submits a job, waits for its end and reads its bill, as whoever `suan` would be here.
//
// Prints one line: job, state, account, what was charged in 10^-6 of the currency, currency.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
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

// The gateway, whose certificate must be that of the node's gateway whatever its address is called.
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
	return grpc.Dial(
		strings.Split(said.Gateway, ",")[0], // of several, any will do
		grpc.WithTransportCredentials(mutual),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{})),
	)
}

func submit(ctx context.Context, jobs scheduler.SchedulerServiceClient, account string) (*scheduler.Job, error) {
	id := make([]byte, 16) // makes a repeated call do nothing more
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	response, err := jobs.SubmitJobs(ctx, &scheduler.SubmitJobsRequest{
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
	stream, err := jobs.WatchJob(ctx, &scheduler.WatchJobRequest{Name: name})
	if err != nil {
		return nil, err
	}
	seen := &scheduler.Job{}
	for {
		job, err := stream.Recv()
		if errors.Is(err, io.EOF) && seen.EndTime != nil { // ends with the job
			return seen, nil
		}
		if err != nil {
			return nil, err
		}
		seen = job
	}
}

// The bill of a job, once nothing is held for it any more.
func billOf(ctx context.Context, money accounting.AccountingServiceClient, job *scheduler.Job) (*accounting.Bill, error) {
	for {
		bill, err := money.GetBill(ctx, &accounting.GetBillRequest{Account: job.Account, Job: job.Name})
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
