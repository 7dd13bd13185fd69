# frozen_string_literal: true

require_relative "child_process"
require_relative "client"

module Torture
  # One who does nothing wrong, in a process of its own: it has its messages echoed, one at a time,
  # and measures how long it waits for each.
  class Bystander
    PAUSE = 0.005
    # However short the fault is.
    LEAST = 200

    def initialize(port, tls: false)
      @process = ChildProcess.new { |line| live(line, Client.open(port, tls: tls)) }
      @process.hear
    end

    # Number of messages that it has sent and had answered, and how long it has waited.
    def finish
      @process.ask("stop").tap { @process.finish }
    end

    private

    def live(line, client)
      line.puts(JSON.generate("ready"))
      waits = []
      sent = 0
      until line.wait_readable(PAUSE) && sent >= LEAST
        wait = round_trip(client, sent += 1)
        break unless wait

        waits << wait
      end
      waits.sort!
      line.puts(JSON.generate({ sent: sent, answered: waits.size,
                                median: waits[waits.size / 2] || Client::PATIENCE,
                                most: waits[waits.size * 99 / 100] || Client::PATIENCE }))
    end

    def round_trip(client, number)
      since = Client.now
      client.text(number.to_s)
      answer = client.next_frame
      Client.now - since if answer == [Client::TEXT, number.to_s.b]
    end
  end
end
