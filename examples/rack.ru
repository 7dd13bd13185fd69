# frozen_string_literal: true

# WebSockets beside a Rack application, in one process: what is posted over HTTP reaches every
# browser. A Sinatra application is a Rack application, too: `run MyApp`.
#
#   thin -R examples/rack.ru -p 8080 start      (Thin runs a reactor, which the two share)
#   rackup -s webrick -p 8080 examples/rack.ru  (other servers: the reactor has a thread)
#
# The WebSockets have a port of their own, WS_PORT (8081 by default). A proxy in front makes the two
# one (examples/nginx.conf).

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__)) # not where the gem is installed

require "em-websocket"
require "rack"

# Everybody who is connected.
module Live
  @clients = []

  class << self
    attr_reader :port

    def start(port)
      run_reactor do
        server = EM::WebSocket.run(host: "127.0.0.1", port: port) do |ws|
          ws.onopen { @clients << ws }
          ws.onclose { @clients.delete(ws) }
        end
        @port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
      end
    end

    # From any thread, as those of Puma or WEBrick. Answers how many it has reached.
    def publish(text) = EM::WebSocket.broadcast(@clients.dup, text)

    private

    # Thin begins its reactor after this file.
    def run_reactor(&block)
      return EM.next_tick(&block) if defined?(Thin) || EM.reactor_running?

      Thread.new { EM.run(&block) }
    end
  end
end

PAGE = <<~HTML
  <!doctype html>
  <html lang="en">
  <meta charset="utf-8">
  <title>Live</title>
  <form><label>Say <input name="text" autofocus></label> <button>to everybody</button></form>
  <ul></ul>
  <script>
    const ws = new WebSocket(`ws://${location.hostname}:PORT/`);
    ws.onmessage = ({ data }) => {
      const item = document.createElement("li");
      item.textContent = data;
      document.querySelector("ul").append(item);
    };
    document.forms[0].onsubmit = (event) => {
      event.preventDefault();
      fetch("/", { method: "POST", body: event.target.text.value });
      event.target.reset();
    };
  </script>
  </html>
HTML

Live.start(Integer(ENV.fetch("WS_PORT", "8081")))

app = lambda do |env|
  request = Rack::Request.new(env)
  if request.post?
    reached = Live.publish(request.body.read.force_encoding(Encoding::UTF_8).scrub)
    [200, { "content-type" => "text/plain" }, ["#{reached} reached\n"]]
  else
    page = PAGE.sub("PORT", Live.port.to_s)
    [200, { "content-type" => "text/html; charset=utf-8" }, [page]]
  end
end

run app
