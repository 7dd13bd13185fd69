# frozen_string_literal: true

require "uri"

begin
  require "rack"
rescue LoadError
  nil # The examples that hold the environment against Rack's own rules are left out.
end

# An application of Rack behind plain HTTP: `:rack`.
RSpec.describe EventMachine::WebSocket, "and a Rack application", :extension do
  include HttpClient

  def racking(options = {}, &app)
    serve(options.merge(rack: app)) { |ws| echo(ws) }
  end

  text = { "content-type" => "text/plain" }

  it "answers what is no WebSocket, on a thread of EventMachine's" do
    reactor = nil
    racking do |env|
      note(:called, Thread.current != reactor)
      [201, text.merge("set-cookie" => "a=1\nb=2", "x-b" => %w[1 2]), [env["rack.input"].read, "!"]]
    end
    reactor = server.thread
    response = ask("POST", "/", {}, "hello")

    expect(response).to have_attributes(status: 201, body: "hello!")
    expect(response.fields).to include("set-cookie: a=1", "set-cookie: b=2", "x-b: 1", "x-b: 2",
                                       "Content-Length: 6", "Connection: close")
    expect(next_event(:called).value).to be(true)
    expect(connect.tap { |client| client.text("x") }.read_text).to eq("x")
  end

  it "does not keep the reactor waiting" do
    go_on = Mailbox.new
    racking { [200, text, [go_on.pop.to_s]] }
    waiting = dial
    waiting.write(request_of("GET", "/"))
    connect.tap { |client| client.text("x") }.read_text
    go_on << "done"

    expect(response_of(waiting).body).to eq("done")
  end

  it "is given the environment of a request" do
    racking do |env|
      note(:env, env)
      [200, text, []]
    end
    ask("POST", "/a%20b?c=d", { "Host" => "example.com:81", "Content-Type" => "x/y",
                                "X-Many" => %w[1 2], "Cookie" => %w[a=1 b=2], "Proxy" => "evil",
                                "X_Under" => "evil", "Transfer-Encoding" => "chunked",
                                "Version" => "evil" }, "3\r\nabc\r\n0\r\n\r\n")
    env = next_event(:env).value

    expect(env).to include(
      "REQUEST_METHOD" => "POST", "SCRIPT_NAME" => "", "PATH_INFO" => "/a%20b",
      "QUERY_STRING" => "c=d", "SERVER_NAME" => "example.com", "SERVER_PORT" => "81",
      "SERVER_PROTOCOL" => "HTTP/1.1", "REMOTE_ADDR" => "127.0.0.1", "CONTENT_TYPE" => "x/y",
      "CONTENT_LENGTH" => "3", "HTTP_X_MANY" => "1, 2", "HTTP_COOKIE" => "a=1; b=2",
      "HTTP_HOST" => "example.com:81", "HTTP_VERSION" => "HTTP/1.1", "rack.url_scheme" => "http",
      "rack.hijack?" => false
    )
    expect(env.keys.grep(/PROXY|UNDER|TRANSFER/)).to be_empty
    expect(env["rack.input"].string.encoding).to eq(Encoding::BINARY)
  end

  {
    "of a name alone" => [{ "Host" => "example.com" }, ["example.com", "80"]],
    "of an IPv6 address" => [{ "Host" => "[::1]" }, ["[::1]", "80"]]
  }.each do |what, (headers, expected)|
    it "is given the server's name and port #{what}" do
      racking do |env|
        note(:env, env.values_at("SERVER_NAME", "SERVER_PORT"))
        [200, {}, []]
      end
      ask("GET", "/", headers)

      expect(next_event(:env).value).to eq(expected)
    end
  end

  it "is given the server's own address where a client names none" do
    racking do |env|
      note(:env, env.values_at("SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"))
      [200, {}, []]
    end
    ask("GET", "/", { "Host" => nil }, http: "HTTP/1.0")

    expect(next_event(:env).value).to eq(["127.0.0.1", server.port.to_s, "HTTP/1.0"])
  end

  it "keeps to Rack's own rules", skip: !defined?(Rack::Lint) && "there is no rack" do
    app = Rack::Lint.new(->(env) { [200, { "Content-Type" => "text/plain" }, [env["PATH_INFO"]]] })
    racking { |env| app.call(env) }

    expect(ask("GET", "/x?y=z")).to have_attributes(status: 200, joined: "/x")
    expect(ask("POST", "/x", { "Content-Type" => "a/b" }, "body").status).to eq(200)
    expect(ask("HEAD", "/x").status).to eq(200)
  end

  describe "whose body comes in parts" do
    parts = Class.new do
      def initialize(parts, &closed)
        @parts = parts
        @closed = closed
      end

      def each(&block) = @parts.each(&block)
      def close = @closed.call
    end

    it "sends them in chunks as they are made, and closes it" do
      go_on = Mailbox.new
      made = Enumerator.new { |all| all << "one" << "" << go_on.pop.to_s }
      racking { [200, text, parts.new(made) { note(:closed) }] }
      client = dial
      client.write(request_of("GET", "/"))

      expect(client.read_response[:lines]).to include("Transfer-Encoding: chunked")
      go_on << ("two" * 100)
      body = HttpClient::Response.new(body: client.read_to_end)
      expect(body.joined).to eq("one#{"two" * 100}")
      expect(body.body).to end_with("\r\n0\r\n\r\n")
      next_event(:closed)
    end

    it "sends them to HTTP/1.0 up to the end of the connection" do
      racking { [200, text, parts.new(%w[one two]) { note(:closed) }] }
      response = ask("GET", "/", http: "HTTP/1.0")

      expect(response.body).to eq("onetwo")
      expect(response.fields.grep(/Transfer|Length/)).to be_empty
    end

    it "sends none of them where the response has no body, and closes it" do
      racking do |env|
        status = env["REQUEST_METHOD"] == "HEAD" ? 200 : 304
        [status, {}, parts.new(%w[one two]) { note(:closed) }]
      end

      expect(ask("HEAD", "/")).to have_attributes(status: 200, body: "")
      expect(ask("GET", "/")).to have_attributes(status: 304, body: "")
      2.times { next_event(:closed) }
    end

    it "waits for a client that reads slowly, and holds little for it" do
      racking { [200, text, parts.new(["x" * 65_536] * 1000) { note(:closed) }] }
      client = dial
      client.write(request_of("GET", "/"))
      client.read_response
      most = Array.new(50) do
        sleep 0.005
        described_class.stats[:bytes_outbound]
      end.max

      expect(most).to be_between(1, 1_000_000)
      expect(events).to be_empty
      expect(HttpClient::Response.new(body: client.read_to_end).joined.size).to eq(65_536_000)
      next_event(:closed)
    end

    it "ends with a client that leaves" do
      racking { [200, text, parts.new(("x" * 65_536).then { |it| [it].cycle }) { note(:closed) }] }
      client = dial
      client.write(request_of("GET", "/"))
      client.read_response
      client.reset

      next_event(:closed)
      expect(events).to be_empty
    end

    it "breaks off where it raises, so that the client does not take it for whole" do
      racking do
        [200, text, parts.new(Enumerator.new { |all| (all << "one") && raise("oh") }) { nil }]
      end

      expect(ask("GET", "/").body).not_to end_with("0\r\n\r\n")
      expect(next_event(:error).value.message).to eq("oh")
    end

    it "writes it itself, where it can be called" do
      racking do
        [200, text, lambda { |stream|
          stream << "one"
          stream.write("two")
          stream.close
        }]
      end

      expect(ask("GET", "/").joined).to eq("onetwo")
    end
  end

  {
    "raises" => ->(_) { raise ArgumentError, "oh" },
    "is not implemented" => ->(_) { raise NotImplementedError, "oh" },
    "throws" => ->(_) { throw :nothing },
    "returns nil" => ->(_) {},
    "returns a header that is none" => ->(_) { [200, { "a b" => "c" }, []] },
    "returns a status that is none" => ->(_) { [99, {}, []] },
    "returns a body that is none" => ->(_) { [200, {}, 1] }
  }.each do |what, app|
    it "is answered with 500, and tells onerror, where it #{what}" do
      racking(&app)
      response = ask("GET", "/")

      # Of a body that is none the header has left already.
      expect(response.status).to eq(what.include?("body") ? 200 : 500)
      expect(next_event(:error).value).to be_a(Exception)
      expect(ask("GET", "/").status).to eq(response.status)
    end
  end

  it "is refused where it cannot be called" do
    run_reactor do
      expect { described_class.run(host: "127.0.0.1", port: 0, rack: "app") }
        .to raise_error(ArgumentError, "rack: an object of String is no application")
    end
  end
end
