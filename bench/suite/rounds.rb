# frozen_string_literal: true

require "etc"
require "json"
require "open3"

module Bench
  # Measures every cell with every peer, as often as there are rounds. Within a cell the peers come
  # one after the other, each round beginning with another one, so that what changes on the
  # machine meets all of them alike.
  class Rounds
    LOAD = File.join(BUILT, "target/release/load")
    FULL = { warm: 0.5, seconds: 2.0 }.freeze
    QUICK = { warm: 0.2, seconds: 0.3 }.freeze

    # The load generator's own is 30 s, or what its arguments say.
    LIMIT = 90

    attr_reader :records, :versions

    def initialize(cells:, peers:, rounds:, quick: false, apart: false, seconds: nil)
      @cells = cells
      @peers = peers
      @rounds = rounds
      @apart = apart
      @times = quick ? QUICK : FULL
      @times = @times.merge(seconds: seconds) if seconds
      @records = []
      @versions = {}
    end

    def run
      @rounds.times do |round|
        @cells.each do |cell|
          @peers.rotate(round).each do |peer|
            record = measure(cell, peer, round)
            @records << record
            yield record if block_given?
          end
        end
      end
      self
    end

    private

    def measure(cell, peer, round)
      record = { "round" => round, "cell" => cell.name, "peer" => peer.name }
      server_cpu, client_cpu = cpus(cell)
      Server.open(peer, cell, server_cpu) do |server|
        @versions[peer.name] = server.version
        record.merge(load(cell, server, client_cpu))
      end
    rescue Server::Failed => e
      record.merge("error" => e.message)
    end

    # Apart, where there are two; together on the last, otherwise.
    def cpus(cell)
      last = Etc.nprocessors - 1
      cell.apart || @apart ? [last, [last - 1, 0].max] : [last, last]
    end

    def load(cell, server, cpu)
      arguments = cell.load
      # Without a CPU of its own, a client that never sleeps would starve the server.
      arguments -= %w[--spin] if Etc.nprocessors < 2
      output, complaint, status = Open3.capture3(
        "timeout", "-k", "1", LIMIT.to_s, "setpriv", "--pdeathsig", "KILL",
        "taskset", "-c", cpu.to_s, LOAD, *arguments,
        "--warm", @times[:warm].to_s, "--seconds", @times[:seconds].to_s,
        "--port", server.port.to_s, "--pid", server.pid.to_s
      )
      status.success? ? JSON.parse(output) : { "error" => complaint.strip }
    end
  end
end
