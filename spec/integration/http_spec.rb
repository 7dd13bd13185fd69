# frozen_string_literal: true

require "json"

# Plain HTTP on the port of a server: `:http` and `onhttp`.
RSpec.describe EventMachine::WebSocket, "and plain HTTP", :extension do
  include HttpClient

  # Fields of each response that are this library's, beside what an example is about.
  def own(length) = ["Connection: close", "Content-Length: #{length}"]

  def answering(options = {}, &block)
    serve(options) do |ws|
      echo(ws)
      ws.onhttp(&block) if block
    end
  end

  describe ":http" do
    it "has each path answered by its entry, and others with 404" do
      answering(http: {
                  "/text" => "a text", "/gone" => ->(_) { 410 }, "/nil" => ->(_) {},
                  "/body" => ->(request) { request.body.reverse },
                  "/all" => ->(_) { [201, { "X-A" => %w[b c] }, "made"] }
                })

      answers = { "/text" => [200, "a text"], "/gone" => [410, ""], "/nil" => [404, "Not Found"],
                  "/body" => [200, "cba"], "/all" => [201, "made"], "/text/" => [404, "Not Found"],
                  "/TEXT" => [404, "Not Found"], "/text?x=1" => [200, "a text"] }
      answers.each do |path, (status, body)|
        response = ask("POST", path, {}, "abc")
        expect(response).to have_attributes(status: status, body: body), path
        expect(response.fields).to include(*own(body.bytesize))
      end
      expect(ask("GET", "/all").fields.grep(/X-A/)).to eq(["X-A: b", "X-A: c"])
      expect(events).to be_empty
    end

    it "leaves opening handshakes, of whatever path, what they are" do
      answering(http: { "/" => "not a WebSocket" })
      client = connect
      client.text("hello")

      expect(client.read_text).to eq("hello")
      expect(ask("GET", "/").body).to eq("not a WebSocket")
    end

    it "answers over TLS" do
      answering({ secure: true, tls_options: Certificate.tls_options,
                  http: { "/" => ->(request) { request.secure?.to_s } } })

      expect(ask("GET", "/", tls: true)).to have_attributes(status: 200, body: "true")
    end

    it "answers HEAD without a body, and says how long it would be" do
      answering(http: { "/" => "12345" })
      response = ask("HEAD", "/")

      expect(response).to have_attributes(status: 200, body: "")
      expect(response.fields).to include(*own(5))
    end

    it "still answers health checks as em-websocket does, unless they have an entry" do
      answering(http: { "/healthcheck/2" => "mine" })

      expect(ask("GET", "/healthcheck").body).to eq("OK")
      expect(ask("GET", "/healthcheck/1").body).to eq("OK")
      expect(ask("GET", "/healthcheck/2").body).to eq("mine")
      expect(ask("POST", "/healthcheck", {}, "x").status).to eq(404)
    end

    {
      "no Hash" => ["/x", /http: an object of String is no Hash/],
      "a path without a slash" => [{ "x" => "" }, /http: "x" is no path/],
      "a path with a query" => [{ "/x?y" => "" }, /is no path/],
      "a Symbol as a path" => [{ x: "" }, /http: :x is no path/],
      "a page that there is not" => [{ "/x" => :pages }, %r{:pages at /x is none of :health}],
      "a value that is no response" => [{ "/x" => 1 }, %r{an object of Integer at /x}],
      "a network that is none" => [{ "/x" => { stats: "10.0.0.0.0/8" } }, %r{http: /x: }],
      "no network" => [{ "/x" => { stats: [] } }, %r{nobody may see /x}],
      "two pages at one path" => [{ "/x" => { health: :anyone, stats: :anyone } }, /http: /]
    }.each do |what, (value, text)|
      it "is refused where it is #{what}" do
        run_reactor do
          options = { host: "127.0.0.1", port: 0, http: value }
          expect { described_class.run(options) }.to raise_error(ArgumentError, text)
        end
      end
    end
  end

  describe "onhttp" do
    it "is given the request" do
      answering do |request, response|
        note(:asked, [request.request_method, request.path, request.query_string, request.query,
                      request.headers_downcased["x-a"], request.body, request.body.encoding,
                      request.remote_ip, request.secure?, request.http_version])
        response.status = 204
      end
      response = ask("PUT", "/a%20b?c=d&e", { "X-A" => %w[1 2] }, "\xFFbytes")

      expect(response).to have_attributes(status: 204, body: "")
      expect(response["content-length"]).to be_nil
      expect(next_event(:asked).value)
        .to eq(["PUT", "/a%20b", "c=d&e", { "c" => "d", "e" => nil }, %w[1 2], "\xFFbytes".b,
                Encoding::BINARY, "127.0.0.1", false, "HTTP/1.1"])
    end

    it "sends what its block has set, with 200 and no body where it has set nothing" do
      answering do |request, response|
        next if request.path == "/"

        response.headers["Content-Type"] = "application/json"
        response.body = "{}"
      end

      expect(ask("GET", "/")).to have_attributes(status: 200, body: "")
      expect(ask("GET", "/x")).to have_attributes(status: 200, body: "{}")
      expect(ask("GET", "/x")["content-type"]).to eq("application/json")
    end

    it "may answer later, from any thread, and once" do
      answering do |request, response|
        response.defer
        thread = Thread.new do
          response.body = request.body * 2
          note(:sent, response.finish)
          response.finish
        rescue EM::WebSocket::WebSocketError => e
          note(:twice, e.message)
        end
        note(:thread, thread)
      end

      expect(ask("POST", "/", {}, "x" * 500_000).body).to eq("x" * 1_000_000)
      next_event(:thread).value.join
      expect(next_event(:sent).value).to be(true)
      expect(next_event(:twice).value).to eq("The HTTP request is answered already")
    end

    it "learns that its client has gone" do
      answering do |_, response|
        response.defer
        note(:deferred, response)
      end
      client = dial
      client.write(request_of("GET", "/"))
      response = next_event(:deferred).value
      client.disconnect
      server.call { nil } until described_class.stats[:connections].zero?

      expect(response.finish).to be(false)
    end

    it "must be set in the accept block" do
      serve do |ws|
        ws.onopen do
          ws.onhttp {}
        rescue EM::WebSocket::WebSocketError => e
          note(:refused, e.message)
        end
      end
      connect

      expect(next_event(:refused).value).to start_with("onhttp: set it in the block")
    end

    it "is refused on a socket of EventMachine's", :attached do
      serve do |ws|
        ws.onhttp {}
      rescue EM::WebSocket::WebSocketError => e
        note(:refused, e.message)
      end
      dial

      expect(next_event(:refused).value).to start_with("onhttp: set it in the block")
    end

    it "is asked of paths that :http has not" do
      answering(http: { "/a" => "of :http" }) { |_, response| response.body = "of onhttp" }

      expect([ask("GET", "/a").body, ask("GET", "/b").body]).to eq(["of :http", "of onhttp"])
    end

    {
      "raises" => -> { raise ArgumentError, "oh" },
      "sets a header that is none" => ->(response) { response.headers["X\r\n"] = "x" },
      "sets a header whose value ends the line" => ->(r) { r.headers["X"] = "a\r\nSet-Cookie: b" },
      "says where the body ends" => ->(response) { response.headers["Content-Length"] = "1" },
      "sets another connection" => ->(response) { response.headers["Connection"] = "keep-alive" },
      "sets a status that is none" => ->(response) { response.status = 101 },
      "sets a body that is no String" => ->(response) { response.body = 1 }
    }.each do |what, act|
      it "is answered with 500, and tells onerror, where its block #{what}" do
        answering { |_, response| act.arity.zero? ? act.call : act.call(response) }
        response = ask("GET", "/")

        expect(response).to have_attributes(status: 500, body: "Internal Server Error")
        expect(response.fields).not_to include(/Set-Cookie|X/)
        expect(next_event(:error).value).to be_a(StandardError)
      end
    end

    it "is answered with 500 where what leaves its block is no StandardError" do
      serve { |ws| ws.onhttp { raise NotImplementedError, "oh" } }

      expect(ask("GET", "/").status).to eq(500)
      expect { server.reactor.join }.to raise_error(NotImplementedError)
    end

    it "ends the reactor where it raises and there is no onerror, after the response" do
      serve { |ws| ws.onhttp { raise "oh" } }

      expect(ask("GET", "/").status).to eq(500)
      expect { server.reactor.join }.to raise_error("oh")
    end
  end

  describe "bodies" do
    it "are taken up to :http_body" do
      answering(http_body: 10) { |request, response| response.body = request.body }

      expect(ask("POST", "/", {}, "1234567890").body).to eq("1234567890")
      expect(ask("POST", "/", {}, "12345678901").status).to eq(413)
      chunks = { "Transfer-Encoding" => "chunked" }
      expect(ask("POST", "/", chunks, "A\r\n1234567890\r\n0\r\n\r\n").body).to eq("1234567890")
      expect(ask("POST", "/", chunks, "A\r\n1234567890\r\n1\r\n1\r\n0\r\n\r\n").status).to eq(413)
    end

    it "are asked for where the client waits for that" do
      answering { |request, response| response.body = request.body }
      client = dial
      client.write(request_of("POST", "/", { "Expect" => "100-continue", "Content-Length" => 5 }))

      expect(client.read_response[:status]).to eq("HTTP/1.1 100 Continue")
      expect(respond_to(client, "hello").body).to eq("hello")
    end

    it "may take as long as an opening handshake" do
      answering(handshake_timeout: 0.2) { |_, response| response.defer }
      slow = dial
      slow.write(request_of("POST", "/", { "Content-Length" => 5 }))

      expect(response_of(slow)).to have_attributes(status: 408)
      expect(ask("POST", "/", {}, "12345")).to have_attributes(status: 503)
      expect(Array.new(2) { next_event(:error).value.message }.uniq)
        .to eq(["Opening handshake timed out"])
    end
  end

  describe "without it" do
    it "nothing is read of a body, and nothing answered, as in em-websocket" do
      serve

      expect(respond_to(dial, request_of("GET", "/"))).to be_nil
      expect(respond_to(dial, request_of("POST", "/", {}, "abc"))).to be_nil
      expect(Array.new(2) { next_event(:error).value.message })
        .to eq(["Not an upgrade request", "Must be GET request"])
    end
  end

  describe "at a shutdown" do
    it "goes on to its response" do
      answering do |_, response|
        response.defer
        note(:deferred, response)
      end
      client = dial
      client.write(request_of("GET", "/"))
      response = next_event(:deferred).value
      done = Mailbox.new
      server.call { described_class.shutdown(8) { done << true } }
      response.body = "whole"

      expect(response.finish).to be(true)
      expect(response_of(client).body).to eq("whole")
      done.pop
    end

    it "is told by the health check before the end, where there is a delay" do
      answering(http: { "/health" => :health })
      ask("GET", "/health").then { |it| expect(it).to have_attributes(status: 200, body: "OK") }
      websocket = connect
      done = Mailbox.new
      server.call { described_class.shutdown(8, delay: 0.5) { done << true } }

      expect(ask("GET", "/health")).to have_attributes(status: 503, body: "Shutting down")
      websocket.text("still here")
      expect(websocket.read_text).to eq("still here")
      expect(websocket.read(:close)).to eq([1001].pack("n"))
      websocket.close(1001)
      done.pop
    end
  end

  describe "pages of its own" do
    it "have the statistics" do
      answering(http: { "/stats" => :stats })
      response = ask("GET", "/stats")

      expect(response["content-type"]).to eq("application/json")
      expect(response["cache-control"]).to eq("no-store")
      expect(JSON.parse(response.body)).to include("connections" => 1, "drains" => be > 0)
    end

    it "have no other methods" do
      answering(http: { "/health" => :health })
      response = ask("POST", "/health", {}, "x")

      expect([response.status, response["allow"]]).to eq([405, "GET, HEAD"])
    end
  end
end
