# frozen_string_literal: true

# Does to servers, each in a process of its own, what the internet and careless applications do, and
# counts whether they keep what is promised. bin/torture builds, installs, and calls this.

require "json"
require "optparse"
require_relative "fault"
require_relative "supervisor"
require_relative "table"

Dir[File.join(__dir__, "faults", "*.rb")].each { |file| require file }

module Torture
  # The command line.
  class Program
    # As many at a time wait for something, or are measured by what their own process takes.
    QUICK_JOBS = 3

    def initialize(arguments)
      @seconds = nil
      parser.parse!(arguments)
      @faults = choose(arguments)
      @jobs ||= @quick ? QUICK_JOBS : 1
    end

    # True if every promise is kept.
    def run
      since = now
      supervisor = Supervisor.new(quick: @quick, seconds: @seconds, jobs: @jobs)
      results = supervisor.run(@faults) do |fault, took|
        warn format("%<fault>-12s %<took>6.1f s", fault: fault, took: took)
      end
      puts Table.new(results), ""
      broken = results.select(&:broken?)
      puts "Not kept:", Table.new(broken), "" unless broken.empty?
      puts format("%<kept>d of %<all>d promises kept, %<faults>d faults in %<seconds>.0f s",
                  kept: results.count(&:kept?), all: results.count(&:promise?),
                  faults: @faults.size, seconds: now - since)
      File.write(@json, JSON.pretty_generate(results.map(&:to_h))) if @json
      broken.empty?
    end

    private

    def parser
      OptionParser.new do |options|
        options.banner = "Usage: bin/torture [options] [FAULT]..."
        options.on("--quick", "a minute: smaller, and without what is slow") { @quick = true }
        options.on("--seconds N", Integer, "how long `soak` goes on (600)") { |n| @seconds = n }
        options.on("--jobs N", Integer, "faults at a time (1; #{QUICK_JOBS} if quick)") do |n|
          @jobs = n
        end
        options.on("--json FILE", "the table as JSON, too") { |file| @json = file }
        options.separator("\nFaults:")
        Fault.all.each { |fault| options.separator("    #{fault.id.ljust(12)} #{fault.title}") }
      end
    end

    def choose(names)
      return Fault.all.select { |fault| !@quick || fault.quick? } if names.empty?

      names.map do |name|
        Fault.all.find { |fault| fault.id == name } || abort("There is no fault called #{name}.")
      end
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end

$stdout.sync = true
exit(Torture::Program.new(ARGV).run) if $PROGRAM_NAME == __FILE__
