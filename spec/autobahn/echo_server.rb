# frozen_string_literal: true

require "open3"
require "rbconfig"
require "timeout"
require_relative "../support/certificate"

# An echo server in a process of its own: it prints its port, and ends when its input does.
class EchoServer
  class Failed < StandardError; end

  PATIENCE = 20
  LIBRARY = File.expand_path("../../lib", __dir__)
  MODULES = File.expand_path("../../tmp/clients/node_modules", __dir__)

  # This library's.
  def self.ours(tls: false, attached: false)
    new(
      RbConfig.ruby, "-I", LIBRARY, File.join(__dir__, "server.rb"), *("--tls" if tls),
      *("--attached" if attached), tls: tls
    )
  end

  # That of npm's ws, to measure by.
  def self.ws(tls: false, **)
    files = Certificate.files.values_at(:chain, :key) if tls
    new({ "NODE_PATH" => MODULES }, "node", File.join(__dir__, "peers/ws.cjs"), *files, tls: tls)
  end

  attr_reader :url

  def initialize(*command, tls:)
    @input, @output, @process = Open3.popen2(*command)
    port = Timeout.timeout(PATIENCE) { @output.gets }.to_i
    raise Failed, "the server did not start" unless port.positive?

    @url = "#{tls ? "wss" : "ws"}://127.0.0.1:#{port}"
  rescue Timeout::Error
    raise Failed, "the server did not start within #{PATIENCE} s"
  ensure
    Process.kill(:KILL, @process.pid) if !@url && @process&.alive?
  end

  # Yields the URL; raises if the server does not live to the end of it, or does not end then.
  def serve
    result = yield url
    raise Failed, "the server ended on the way" unless @process.alive?

    @input.close
    raise Failed, "the server did not end well" unless @process.join(PATIENCE)&.value&.success?

    result
  ensure
    Process.kill(:KILL, @process.pid) if @process.alive?
  end
end
