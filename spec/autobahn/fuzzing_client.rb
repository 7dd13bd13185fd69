# frozen_string_literal: true

require "fileutils"
require "json"

# Outcome of one case for a server: what it did, how it closed, and how long it all took.
Outcome = Struct.new(:behavior, :close, :seconds) do
  def self.of(entry)
    new(entry["behavior"], entry["behaviorClose"], entry["duration"] / 1000.0)
  end

  def to_s = "#{behavior}/#{close}"
end

NOT_RUN = Outcome.new("NOT RUN", "NOT RUN", 0).freeze

# Autobahn|Testsuite in its role of a client.
class FuzzingClient
  INSTALLED = File.expand_path("../../tmp/autobahn", __dir__)
  PYTHON = File.join(INSTALLED, "python")
  WSTEST = File.join(INSTALLED, "python27/bin/wstest")

  LIST = <<~PYTHON
    from autobahntestsuite.case import Cases, CaseBasename
    print(" ".join(case.__name__[len(CaseBasename):].replace("_", ".") for case in Cases))
  PYTHON

  # The ids of all cases, in order.
  def self.cases
    @cases ||= IO.popen([PYTHON, "-c", LIST], &:read).split.sort_by { |id| numbers(id) }
  end

  def self.numbers(id) = id.split(".").map(&:to_i)

  # The draft is the number of an IETF draft: 10 is Sec-WebSocket-Version 8. The directory is made
  # anew, for the reports.
  def initialize(url, directory, draft: nil, jobs: 1, limit: 1800)
    @url = url
    @directory = directory
    @draft = draft
    @jobs = jobs
    @limit = limit
  end

  # Tries the cases, some at a time, and returns the outcome of each. Those that were not reached
  # within the limit (seconds) are NOT_RUN.
  def run(ids)
    FileUtils.rm_rf(@directory)
    shards = ids.group_by.with_index { |_, index| index % @jobs }
    directories = shards.map { |index, shard| prepare(index, shard) }
    try_all(directories)
    outcomes = directories.map { |directory| read(directory) }.reduce(:merge)
    ids.to_h { |id| [id, outcomes.fetch(id, NOT_RUN)] }
  end

  private

  def prepare(index, ids)
    File.join(@directory, index.to_s).tap do |directory|
      FileUtils.mkdir_p(directory)
      spec = { servers: [{ agent: "server", url: @url }], outdir: directory, cases: ids,
               "exclude-cases": [], "exclude-agent-cases": {} }
      spec[:options] = { version: @draft } if @draft
      File.write(File.join(directory, "spec.json"), JSON.generate(spec))
    end
  end

  def try_all(directories)
    running = directories.map { |directory| spawn_in(directory) }
    Process.wait(running.first) && running.shift until running.empty?
  ensure
    running.each { |pid| Process.kill(:TERM, pid) && Process.wait(pid) }
  end

  # Not even a client whose parent was killed runs for ever.
  def spawn_in(directory)
    spawn(
      "timeout", "--kill-after=5", @limit.to_s,
      PYTHON, WSTEST, "--mode", "fuzzingclient", "--spec", "spec.json",
      chdir: directory, %i[out err] => File.join(directory, "log")
    )
  end

  def read(directory)
    index = JSON.parse(File.read(File.join(directory, "index.json")))
    index.fetch("server", {}).transform_values { |entry| Outcome.of(entry) }
  rescue Errno::ENOENT
    {}
  end
end
