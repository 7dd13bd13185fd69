# frozen_string_literal: true

# The order of two events on one reactor: a client there, as specs of applications have it, does not
# see the end of its connection before `onclose` has been called.
RSpec.describe EventMachine::WebSocket::Connection, "ended under a client on its own reactor" do
  # As many as may be ended in one turn of the reactor.
  count = 40

  # Notes how its connection ends, in the place of its server's.
  client_class = Class.new(EventMachine::Connection) do
    def initialize(number, seen)
      super
      @number = number
      @seen = seen
    end

    def connection_completed
      send_data("GET /#{@number} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n" \
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    end

    def unbind
      @seen << [:client, @number]
    end
  end

  {
    "by close_connection" => ->(ws) { EM.next_tick { ws.close_connection } },
    "by its close timeout" => ->(ws) { ws.close(1000) }
  }.each do |how, ending|
    it "is told of first #{how}" do
      seen = []
      EM.run do
        port = EM.get_sockname(
          EM::WebSocket.run(host: "127.0.0.1", port: 0, close_timeout: 0.1) do |ws|
            number = nil
            ws.onopen do |handshake|
              number = Integer(handshake.path[1..])
              ending.call(ws)
            end
            ws.onerror { nil }
            ws.onclose { seen << [:server, number] }
          end
        ).then { |name| Socket.unpack_sockaddr_in(name).first }
        count.times { |number| EM.connect("127.0.0.1", port, client_class, number, seen) }
        EM.add_periodic_timer(0.01) { EM.stop if seen.size == 2 * count }
      end

      firsts = seen.group_by(&:last).transform_values { |events| events.first.first }
      expect(firsts.values).to eq([:server] * count)
    end
  end
end
