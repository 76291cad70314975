// Submits a job, waits for its end and reads its bill, as whoever `suan` would be here.
//
// Prints one line: job, state, account, what was charged in 10^-6 of the currency, currency.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <toml++/toml.h>
#include <vector>

#include "suanmesh/accounting/v1/accounting_service.grpc.pb.h"
#include "suanmesh/scheduler/v1/scheduler_service.grpc.pb.h"

namespace fs = std::filesystem;
namespace accounting = suanmesh::accounting::v1;
namespace scheduler = suanmesh::scheduler::v1;

// One way to talk to one mesh: what the file of contexts says of it.
struct Context {
  std::string gateway, node, account;
  fs::path ca, cert, key;
};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The files of contexts that `suan` reads, nearest first; SUANMESH_CONFIG names the only one.
std::vector<fs::path> context_files() {
  if (const auto only = variable("SUANMESH_CONFIG"); !only.empty()) return {only};
  const auto xdg = variable("XDG_CONFIG_HOME");
  const fs::path home = xdg.empty() ? fs::path(variable("HOME")) / ".config" : fs::path(xdg);
  std::vector<fs::path> found;
  for (const fs::path& file : {fs::path("suanmesh.toml"), fs::path("build/dev/config.toml"),
                               home / "suanmesh/config.toml", fs::path("/etc/xdg/suanmesh/config.toml")}) {
    if (fs::exists(file)) found.push_back(file);
  }
  return found;
}

// The context that SUANMESH_CONTEXT names, or the current one of the nearest file.
Context current_context() {
  std::vector<std::pair<fs::path, toml::table>> read;
  auto wanted = variable("SUANMESH_CONTEXT");
  for (const auto& file : context_files()) {
    read.emplace_back(file.parent_path(), toml::parse_file(file.string()));
    if (wanted.empty()) wanted = read.back().second["current"].value_or(std::string());
  }
  for (const auto& [folder, table] : read) {
    const auto said = table["contexts"][wanted];
    if (!said) continue;
    const auto text = [&](const char* field) { return said[field].value_or(std::string()); };
    return {text("gateway"),     text("node"),          text("account"),
            folder / text("ca"), folder / text("cert"), folder / text("key")};
  }
  throw std::runtime_error("there is no context '" + wanted + "'; start a mesh with `suan dev`, or set SUANMESH_CONFIG");
}

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path.string() + " cannot be read");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The gateway, whose certificate must be that of the node's gateway whatever its address is called.
std::shared_ptr<grpc::Channel> connect(const Context& context) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = contents(context.ca);
  tls.pem_cert_chain = contents(context.cert);
  tls.pem_private_key = contents(context.key);
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride("gateway." + context.node + ".suanmesh");
  const auto first = context.gateway.substr(0, context.gateway.find(','));  // of several, any will do
  return grpc::CreateCustomChannel(first, grpc::SslCredentials(tls), arguments);
}

// Every call has an end; past it the answer is DEADLINE_EXCEEDED.
std::unique_ptr<grpc::ClientContext> within(std::chrono::seconds limit) {
  auto call = std::make_unique<grpc::ClientContext>();
  call->set_deadline(std::chrono::system_clock::now() + limit);
  return call;
}

void require(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.error_message());
}

// Makes a repeated call do nothing more.
std::string request_id() {
  std::random_device random;
  std::ostringstream text;
  for (int word = 0; word < 4; ++word) text << std::hex << random();
  return text.str();
}

scheduler::Job submit(scheduler::SchedulerService::Stub& stub, const std::string& account) {
  scheduler::SubmitJobsRequest request;
  request.set_request_id(request_id());
  auto* job = request.add_items()->mutable_job();
  job->set_account(account);
  job->set_display_name("from C++");
  job->set_max_duration_s(60);
  job->mutable_ask()->set_cpu_milli(100);
  job->mutable_ask()->set_memory_bytes(64 << 20);
  auto* variant = job->mutable_package()->add_variants();
  variant->set_runtime("python3");
  for (const auto* word : {"python3", "-c", "print(6 * 7)"}) variant->add_command(word);

  scheduler::SubmitJobsResponse response;
  require(stub.SubmitJobs(within(std::chrono::seconds(30)).get(), request, &response));
  const auto& result = response.results(0);
  if (result.has_error()) throw std::runtime_error(result.error().message());
  return result.job();
}

scheduler::Job wait_for(scheduler::SchedulerService::Stub& stub, const std::string& name) {
  scheduler::WatchJobRequest request;
  request.set_name(name);
  const auto call = within(std::chrono::seconds(120));
  const auto stream = stub.WatchJob(call.get(), request);
  scheduler::Job job;
  while (stream->Read(&job)) {
  }
  require(stream->Finish());  // ends with the job
  if (!job.has_end_time()) throw std::runtime_error("the stream ended before the job did");
  return job;
}

// The bill of a job, once nothing is held for it any more.
accounting::Bill bill_of(accounting::AccountingService::Stub& stub, const scheduler::Job& job) {
  accounting::GetBillRequest request;
  request.set_account(job.account());
  request.set_job(job.name());
  for (int attempt = 0; attempt < 120; ++attempt) {
    accounting::Bill bill;
    require(stub.GetBill(within(std::chrono::seconds(30)).get(), request, &bill));
    if (bill.held_micros() == 0 && bill.charges_size() > 0) return bill;
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
  }
  throw std::runtime_error("the job was not billed");
}

int main() try {
  const auto context = current_context();
  const auto channel = connect(context);
  const auto jobs = scheduler::SchedulerService::NewStub(channel);
  const auto money = accounting::AccountingService::NewStub(channel);

  const auto submitted = submit(*jobs, context.account);
  const auto ended = wait_for(*jobs, submitted.name());
  const auto bill = bill_of(*money, ended);
  std::cout << ended.name() << ' ' << scheduler::Job::State_Name(ended.state()) << ' ' << bill.account() << ' '
            << bill.total_micros() << ' ' << bill.currency() << std::endl;
  return ended.state() == scheduler::Job::STATE_DONE ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
