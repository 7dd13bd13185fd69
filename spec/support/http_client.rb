# frozen_string_literal: true

# Plain HTTP, for examples: `ask("GET", "/x")`, `send_http(bytes)`. A response is the bytes
# up to the connection's end, cut into its parts.
module HttpClient
  Response = Struct.new(:status, :fields, :body, keyword_init: true) do
    def [](name) = fields.find { |line| line.downcase.start_with?("#{name}: ") }&.[](/: (.*)/, 1)

    # The chunks of the body, joined.
    def joined
      text = "".b
      from = 0
      while (line_end = body.index("\r\n", from))
        size = body[from...line_end].hex
        text << body[line_end + 2, size]
        from = line_end + 2 + size + 2
      end
      text
    end
  end

  def request_of(verb, path, headers = {}, body = nil, http: "HTTP/1.1")
    headers = { "Host" => "127.0.0.1:#{server.port}" }.merge(headers)
    headers["Content-Length"] ||= body.bytesize if body && !headers.key?("Transfer-Encoding")
    lines = headers.compact.flat_map do |name, value|
      Array(value).map { |one| "#{name}: #{one}" }
    end
    ["#{verb} #{path} #{http}", *lines, "", ""].join("\r\n").b + body.to_s.b
  end

  def ask(verb, path, headers = {}, body = nil, tls: false, http: "HTTP/1.1")
    respond_to(dial(tls: tls), request_of(verb, path, headers, body, http: http))
  end

  # Sends the bytes, and reads to the end: nil where nothing comes.
  def respond_to(client, *bytes)
    bytes.each { |some| client.write(some) }
    response_of(client)
  end

  def response_of(client)
    head = client.read_response
    return unless head

    Response.new(status: head[:status][/ (\d+)/, 1].to_i, fields: head[:lines],
                 body: client.read_to_end)
  end
end
