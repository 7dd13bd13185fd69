# frozen_string_literal: true

require "timeout"

module Bench
  # A server's process: it is gone when the block is left, and with this process at the latest.
  class Server
    # Failure of a server.
    class Failed < StandardError; end

    STARTS_WITHIN = 20
    LOG = File.join(BUILT, "servers.log")

    attr_reader :pid, :port, :version

    def self.open(...)
      server = new(...)
      yield server
    ensure
      server&.reap
    end

    def initialize(peer, cell, cpu)
      files = cell.tls? ? %w[certificate.pem key.pem].map { |name| File.join(BUILT, name) } : []
      reader, writer = IO.pipe
      @pid = Process.spawn(peer.env, "setpriv", "--pdeathsig", "KILL", "taskset", "-c", cpu.to_s,
                           *peer.command, cell.mode, *files,
                           in: File::NULL, out: writer, err: [LOG, "a"], chdir: BUILT)
      writer.close
      line = Timeout.timeout(STARTS_WITHIN) { reader.gets }
      raise Failed, "does not start: see #{LOG}" unless line

      port, _name, @version = line.split
      @port = Integer(port)
    rescue Timeout::Error, ArgumentError, Failed => e
      reap
      raise Failed, "#{peer.name}: #{e.message}"
    ensure
      reader&.close
    end

    def reap
      return unless @pid

      Process.kill("KILL", @pid)
      Process.wait(@pid)
      @pid = nil
    end
  end
end
