# frozen_string_literal: true

# Tries this library with Autobahn|Testsuite, and compares with what is expected. bin/conformance
# builds, installs, and calls this.

require "etc"
require "optparse"
require_relative "echo_server"
require_relative "expected"
require_relative "fuzzing_client"
require_relative "table"

class Conformance
  REPORTS = File.expand_path("../../tmp/autobahn/reports", __dir__)
  SLOW = %w[9.* 12.* 13.*].freeze
  VARIANTS = [{}, { tls: true }, { attached: true }, { draft: 10 }].freeze

  def initialize(arguments)
    @variant = {}
    @jobs = Etc.nprocessors.clamp(2, 8)
    parser.parse!(arguments)
    abort parser.help if arguments.any?
    abort "There is no such case." if cases.empty?
    @limit ||= @quick ? 180 : 1800
  end

  # True if everything is as expected.
  def run
    return beside_ws(@beside_ws) if @beside_ws

    (@all ? VARIANTS : [@variant]).map { |variant| try(variant) }.all?
  end

  private

  def parser
    OptionParser.new do |options|
      options.banner = "Usage: bin/conformance [options]"
      options.on("--quick", "without the slow groups, 9, 12 and 13") { @quick = true }
      options.on("--cases IDS", "these only: '1.1.1 6.*'") { |ids| @patterns = ids.split(/[ ,]+/) }
      options.on("--all", "every one of the variants below") { @all = true }
      options.on("--draft N", Integer, "of the IETF: 10 is version 8") { |n| @variant[:draft] = n }
      options.on("--tls", "wss") { @variant[:tls] = true }
      options.on("--attached", "on EventMachine's own sockets") { @variant[:attached] = true }
      options.on("--record", "what comes is what is expected") { @record = true }
      options.on("--beside-ws ROUNDS", Integer, "measures npm's ws, too") { |n| @beside_ws = n }
      options.on("--jobs N", Integer, "cases at a time (#{@jobs})") { |n| @jobs = n }
      options.on("--limit SECONDS", Integer, "the longest for one variant") { |n| @limit = n }
    end
  end

  def cases
    @cases ||= FuzzingClient.cases.select do |id|
      (@patterns.nil? || matches?(id, @patterns)) && !(@quick && matches?(id, SLOW))
    end
  end

  def matches?(id, patterns)
    patterns.any? { |pattern| File.fnmatch(pattern, id) }
  end

  def try(variant)
    since = now
    outcomes = outcomes_of(variant)
    puts format("\n%<title>s: %<count>d cases in %<seconds>.1f s\n\n",
                title: title(variant), count: cases.size, seconds: now - since)
    puts Table.new(outcomes), ""
    Expected.record(outcomes) if @record
    as_expected?(outcomes)
  end

  def as_expected?(outcomes)
    differences = Expected.differences(outcomes)
    if differences.empty?
      puts "As expected."
      return true
    end

    puts "Not as expected; the reports are below #{REPORTS.delete_prefix("#{Dir.pwd}/")}:"
    differences.each { |difference, ids| puts "  #{difference}: #{ids.join(" ")}" }
    false
  end

  # In turn and one case at a time, so that neither shares the machine with the other.
  def beside_ws(rounds)
    @jobs = 1
    timings = Timings.new
    outcomes = Array.new(rounds) do
      timings.add("npm's ws", outcomes_of(@variant, EchoServer.method(:ws), "ws"))
      outcomes_of(@variant).tap { |ours| timings.add("this library", ours) }
    end
    puts "\nSeconds, #{title(@variant)}, each case at its best of #{rounds} rounds:", "", timings,
         ""
    outcomes.uniq { |each| Expected.differences(each) }.map { |each| as_expected?(each) }.all?
  end

  def outcomes_of(variant, server = EchoServer.method(:ours), name = "ours")
    directory = File.join(REPORTS, "#{name} #{title(variant)}".tr("^a-z0-9", "-"))
    server.call(**variant.slice(:tls, :attached)).serve do |url|
      FuzzingClient.new(url, directory, draft: variant[:draft], jobs: @jobs, limit: @limit)
                   .run(cases)
    end
  end

  def title(variant)
    version = variant[:draft] ? "draft #{variant[:draft]}" : "version 13"
    transport = variant[:tls] ? "wss" : "ws"
    transport += ", attached" if variant[:attached]
    "#{version} over #{transport}"
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

begin
  exit(Conformance.new(ARGV).run)
rescue EchoServer::Failed => e
  abort e.message
end
