// Submits a job, waits for its end and reads its bill, as whoever `suan` would be here.
//
// Prints one line: job, state, account, what was charged in 10^-6 of the currency, currency.

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netdb.h>

#include <algorithm>
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

// Of one or several gateways, `host:port` with commas between them, the target that gRPC tries in their order.
//
// Its schemes for several take addresses of one kind; a name that is not known now leaves the others to be tried.
std::string target_of(const std::string& gateways) {
  std::string targets[2];  // IPv4, IPv6
  std::istringstream list(gateways);
  for (std::string gateway; std::getline(list, gateway, ',');) {
    gateway.erase(std::remove(gateway.begin(), gateway.end(), ' '), gateway.end());
    const auto colon = gateway.rfind(':');
    if (colon == std::string::npos) throw std::runtime_error("'" + gateway + "' is no host:port");
    auto host = gateway.substr(0, colon);
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    addrinfo wanted{}, *found = nullptr;
    wanted.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host.c_str(), nullptr, &wanted, &found) != 0) continue;
    for (const auto* each = found; each != nullptr; each = each->ai_next) {
      const bool six = each->ai_family == AF_INET6;
      char text[NI_MAXHOST];
      if (getnameinfo(each->ai_addr, each->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) continue;
      auto& target = targets[six];
      target += target.empty() ? (six ? "ipv6:" : "ipv4:") : ",";
      target += (six ? "[" + std::string(text) + "]" : text) + gateway.substr(colon);
    }
    freeaddrinfo(found);
  }
  const auto& target = targets[targets[0].empty()];
  if (target.empty()) throw std::runtime_error("no address of '" + gateways + "' is known");
  return target;
}

// The gateways, whose certificates must be those of the node's gateway whatever their addresses are called.
std::shared_ptr<grpc::Channel> connect(const Context& context) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = contents(context.ca);
  tls.pem_cert_chain = contents(context.cert);
  tls.pem_private_key = contents(context.key);
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride("gateway." + context.node + ".suanmesh");
  arguments.SetLoadBalancingPolicyName("pick_first");  // the next one once this one does not answer
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 3'000);  // so long one may take to be connected
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 3'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);  // one that has frozen is noticed
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  return grpc::CreateCustomChannel(target_of(context.gateway), grpc::SslCredentials(tls), arguments);
}

// Makes a call, and again while nobody answers it, until `limit` from now; then the answer is DEADLINE_EXCEEDED.
//
// For calls that do nothing more the second time: what reads, and what has a request_id.
template <typename Call>
void insist(std::chrono::seconds limit, Call call) {
  using std::chrono::milliseconds;
  static std::mt19937 chance{std::random_device{}()};
  const auto end = std::chrono::system_clock::now() + limit;
  for (int pause_ms = 50;; pause_ms = std::min(2 * pause_ms, 1'000)) {
    grpc::ClientContext context;
    context.set_deadline(end);
    const grpc::Status status = call(&context);
    if (status.ok()) return;
    const milliseconds pause(std::uniform_int_distribution<>(pause_ms / 2, pause_ms)(chance));
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || std::chrono::system_clock::now() + pause >= end) {
      throw std::runtime_error(status.error_message());
    }
    std::this_thread::sleep_for(pause);
  }
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
  insist(std::chrono::seconds(30), [&](auto* context) { return stub.SubmitJobs(context, request, &response); });
  const auto& result = response.results(0);
  if (result.has_error()) throw std::runtime_error(result.error().message());
  return result.job();
}

scheduler::Job wait_for(scheduler::SchedulerService::Stub& stub, const std::string& name) {
  scheduler::WatchJobRequest request;
  request.set_name(name);
  scheduler::Job job;
  insist(std::chrono::seconds(120), [&](auto* context) {  // a stream that breaks is opened anew, and tells all again
    const auto stream = stub.WatchJob(context, request);
    while (stream->Read(&job)) {
    }
    return stream->Finish();  // ends with the job
  });
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
    insist(std::chrono::seconds(30), [&](auto* context) { return stub.GetBill(context, request, &bill); });
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
