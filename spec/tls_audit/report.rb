# frozen_string_literal: true

require "json"

module TlsAudit
  class Failed < StandardError; end

  # Finding against the server, or, as :unknown, what a tool could not find out.
  Finding = Struct.new(:check, :severity, :text) do
    def to_s = "#{check} (#{severity}): #{text}"
  end

  # Report of a tool on one server: what it checked and with which result, what speaks against the
  # server, and what would if there was no reason to ignore it.
  Report = Struct.new(:tool, :results, :findings, :ignored) do
    def initialize(tool, results: {}, findings: [], ignored: [])
      super(tool, results, findings, ignored)
    end

    # True if only another try can tell.
    def inconclusive? = findings.any? { |finding| finding.severity == :unknown }
  end

  # A tool's command, which does not run for ever.
  module Tool
    module_function

    # Report in what it wrote into this file as JSON, its standard output and its exit status.
    def run(*command, within:, json_file:)
      output, status = output_of(*command, within: within)
      [JSON.parse(File.read(json_file)), output, status]
    rescue SystemCallError, JSON::ParserError => e
      raise Failed, "#{command.grep(String).first}: #{e.message}"
    end

    # In a process group of its own, for it has children.
    def output_of(*command, within:)
      output, writer = IO.pipe
      pid = Process.spawn(*command, in: File::NULL, out: writer, err: File::NULL, pgroup: true)
      writer.close
      text = Thread.new { output.read }
      ended = Process.detach(pid)
      ended.join(within) || raise(Failed, "#{command.grep(String).first} took over #{within} s")
      [text.value, ended.value.exitstatus]
    ensure
      Process.kill(:KILL, -pid) if ended&.alive?
      text&.join
      output.close
    end
  end
end
