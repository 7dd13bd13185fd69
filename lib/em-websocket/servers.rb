# frozen_string_literal: true

module EventMachine
  module WebSocket
    # The servers of the background that have not ended, by their signatures.
    #
    # Threads and signal handlers add servers and ask at any time, and no lock may be in their way:
    # each step here is one that Ruby does at once, and whoever goes through the servers takes a
    # copy.
    #
    # @api private
    module Servers
      @servers = {}

      class << self
        # @param server [BackgroundServer]
        def add(server)
          @servers[server.signature] = server
        end

        # @return [BackgroundServer, nil]
        def [](signature)
          @servers[signature]
        end

        # @return [Array<BackgroundServer>]
        def all
          @servers.values
        end

        # The server has ended.
        def forget(signature)
          @servers.delete(signature)
        end

        # @return [Integer] the connections of all servers
        def connection_count
          all.sum(&:connection_count)
        end

        # @param signature [Integer]
        # @return [Connection, nil] the connection with this signature, while it is there
        def connection(signature)
          all.each do |server|
            connection = server.connection(signature)
            return connection if connection
          end
          nil
        end

        # Sends bytes as they are to a connection, whatever it makes of `send_data`.
        #
        # @param signature [Integer]
        # @param data [String]
        # @return [Integer] how many; -1 where the connection is not there
        def send_data(signature, data)
          all.each do |server|
            sent = server.send_data(signature, data)
            return sent unless sent.negative?
          end
          -1
        end

        # Lets go, in a forked child, of the servers, which are the parent's.
        def forked
          servers = all
          @servers = {}
          servers.each(&:abandon)
        end
      end
    end
  end
end
